"""A training run from a notebook or a script: what `train_rl_model.py` does, by the same functions, as one value."""

from __future__ import annotations

import html
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trading_platform.configuration.environment import Settings
from trading_platform.configuration.risk_config import RiskConfig
from trading_platform.configuration.trading_config import TradingConfig
from trading_platform.core.errors import FixConfigError
from trading_platform.core.session import Rules
from trading_platform.core.types import MarketPanel
from trading_platform.machine.clocks import utc_now
from trading_platform.machine.packages import missing
from trading_platform.reporting.training_report import TrainingReport, write_html
from trading_platform.training.campaign import run_campaign
from trading_platform.training.contributions import contributions
from trading_platform.training.fits import MakeEnv
from trading_platform.training.judging import comparison
from trading_platform.training.preparation import RunOptions, prepare_campaign
from trading_platform.training.progress import Screen
from trading_platform.training.setup import TrainingSetup
from trading_platform.training.verdict import build_report, document, table


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A trained and judged allocator. It is kept among the models, and serves only if it was admitted and proved there.

    Attributes
    ----------
    figures
        What ``train_rl_model.py --json`` prints, but for the paths of its report.
    """

    figures: dict[str, Any]
    _table: Sequence[Sequence[str]] = field(repr=False)
    _report: TrainingReport = field(repr=False)

    @property
    def model_id(self) -> str:
        """Name of the model, for ``models show | promote``."""
        return str(self.figures["model_id"])

    @property
    def admitted(self) -> bool:
        """Whether the gate let it through to its trial in service; what served before serves on until that ends."""
        return bool(self.figures["admitted"])

    @property
    def verdict(self) -> str:
        """The judgement in one sentence."""
        return str(self.figures["verdict"])

    def page(self, path: str | Path) -> Path:
        """Write the page of the training with its charts to `path`, a file, and return it; matplotlib draws them.

        Raises
        ------
        FixConfigError
            matplotlib is missing, or the file cannot be written.
        """
        if missing(["matplotlib"]):
            raise FixConfigError("the page of a training needs matplotlib: pip install 'matplotlib>=3.8'")
        place = Path(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_html(self._report, place)
        except OSError as error:
            raise FixConfigError(f"{place} cannot be written: {error.strerror or error}") from error
        return place

    def __repr__(self) -> str:
        return f"<Training {self.model_id}: {self.verdict}>"

    def _repr_html_(self) -> str:
        head, *rows = self._table
        titles = "".join(f"<th>{html.escape(name)}</th>" for name in head)
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<p><b>{html.escape(self.verdict)}</b></p><table><tr>{titles}</tr>{lines}</table>"


def trained(
    panel: MarketPanel,
    options: RunOptions,
    setup: TrainingSetup,
    config: TradingConfig,
    settings: Settings,
    rules: Rules,
    make_env: MakeEnv,
    *,
    shown: bool,
) -> Training:
    """Fit, judge and keep a model of `panel`; `shown` draws the progress bar.

    Ctrl-C (KeyboardInterrupt) leaves the models as they were; the same call goes on from its checkpoints.
    """
    since = time.perf_counter()
    fingerprint = RiskConfig.from_mapping(config.risk).fingerprint
    now = utc_now()
    campaign = prepare_campaign(options, setup, config, settings, rules, fingerprint, make_env, now, panel)
    prepared = time.perf_counter()
    screen = Screen(campaign, silent=not shown)
    with screen:
        outcome = run_campaign(campaign, screen.look)
        outcome = replace(outcome, contributions=contributions(campaign, outcome.fits, outcome.judged))
    shutil.rmtree(campaign.run_folder, ignore_errors=True)
    seconds: Mapping[str, float] = {"prepare": prepared - since, "train": time.perf_counter() - prepared}
    steps = sum(fitted.result.steps for fitted in outcome.fits)
    told = document(campaign, outcome, seconds, steps)
    return Training(told, table(comparison(outcome.judged, outcome.trials)), build_report(campaign, outcome))
