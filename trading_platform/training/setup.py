"""Everything that decides how a policy is trained, in one value with a fingerprint."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from trading_platform.core.errors import FixConfigError
from trading_platform.core.validation import fingerprint

EPISODE_SESSIONS = 20
# Each round moves the policy by one trust region, so a budget spent in fewer rounds goes nowhere: in a synthetic market
# 1,000 episodes in 20 rounds recovered 93 % of the oracle's gain, in 10 rounds 73 %.
LEAST_ROUNDS = 20
BASES = ("equal", "minimum_variance", "sharpe")


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """Options of one fit. An episode is 20 sessions, so 1,000 episodes are 20,000 steps.

    Attributes
    ----------
    episodes : budget of one fit. eval_freq : episodes between two looks at the validation slice.
    patience : looks without a better one after which a fit ends with the best; 0 = never early, with the last.
    features : names of the observation fields, or of whole groups, that the policy sees.
    clip : scaled features are cut to [-clip, clip].
    action_kind, action_scale : the map from action to weights.
    hidden : units of each layer.
    learning_rate, epochs, batch_size, gamma, gae_lambda, clip_range, target_kl, log_std : of PPO.
    sustained_exploration : draw noise once an episode, as a function of the state (gSDE, Raffin et al. 2021), instead
        of anew every session: capital that is split anew every day has no time to show what a split is worth.
    mirrored_pairs : let two episodes start alike and explore in opposite directions, and reward each against its twin:
        what the market did to both cancels. A baseline that depends on the market but not on the action leaves the
        gradient where it is (Mao et al. 2019, "Variance Reduction for RL in Input-Driven Environments").
    weight_decay : pull of the policy's weights to zero, that is to the base allocation.
    n_envs : episodes that run side by side, at most; a look comes after a whole number of rounds.
    reward : see `EpisodeOptions`. cost_bps : half-spread and slippage of training, validation and test.
    universe_share, block_sessions, volatility_jitter : of the histories drawn for training, see `ResampleOptions`.
    n_universes : how many are drawn; 0 = the loaded market alone. universe_seed : draws them; one for all fits, so
    that seeds differ by the fit only.
    base : "equal": equal weight of all sleeves that do not stand aside, the only one that was judged. By name only, on
        trial: "minimum_variance" (`worlds.minimum_variance_base`; it prefers the quietest books, which earn least) and
        "sharpe" (`worlds.shrunken_base`), learned from all sessions before a fold's validation. base_sessions,
        base_sharpness : of these two.
    earned_tilt : shrink the distance from the base by what validation says of it (`judging.earned_scale`).
    cost_jitter : training costs are multiplied by a factor between 1 / (1 + jitter) and 1 + jitter.
    """

    episodes: int = 16_000
    eval_freq: int = 1_600
    patience: int = 0
    features: tuple[str, ...] = ("regime",)
    clip: float = 3.0
    action_kind: str = "softmax"
    action_scale: float = 6.0
    hidden: tuple[int, ...] = (16,)
    learning_rate: float = 3e-3
    epochs: int = 5
    batch_size: int = 1024
    gamma: float = 0.97
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    target_kl: float = 0.03
    log_std: float = -1.4
    sustained_exploration: bool = True
    mirrored_pairs: bool = True
    weight_decay: float = 0.0
    n_envs: int = 256
    reward: str = "sharpe_difference"
    cost_bps: float = 10.0
    universe_share: float = 0.5
    block_sessions: int = 0
    volatility_jitter: float = 0.0
    n_universes: int = 4
    universe_seed: int = 1
    base: str = "equal"
    base_sessions: float = 504.0
    base_sharpness: float = 1.5
    earned_tilt: bool = True
    cost_jitter: float = 0.0

    def __post_init__(self) -> None:
        bounds = {
            "episodes": 1, "eval_freq": 1, "patience": 0, "epochs": 1, "batch_size": 2, "n_envs": 1,
            "n_universes": 0, "cost_bps": 0, "base_sessions": 0, "base_sharpness": 0, "universe_seed": 0,
        }  # fmt: skip
        problems = [
            f"{name} must be at least {least}, was {getattr(self, name)}"
            for name, least in bounds.items()
            if not (getattr(self, name) >= least)
        ]
        problems += [
            f"{name} must be positive, was {getattr(self, name)}"
            for name in ("clip", "action_scale", "learning_rate", "clip_range", "target_kl")
            if not (0.0 < getattr(self, name) < float("inf"))
        ]
        problems += [
            f"{name} must be in (0, 1], was {getattr(self, name)}"
            for name in ("gamma", "gae_lambda", "universe_share")
            if not (0.0 < getattr(self, name) <= 1.0)
        ]
        if self.base not in BASES:
            problems.append(f"base must be one of {', '.join(BASES)}, was {self.base!r}")
        if not self.features:
            problems.append("features must name at least one observation field or group")
        if not self.hidden or not all(units >= 1 for units in self.hidden):
            problems.append(f"hidden must name units of at least one layer, was {self.hidden}")
        if problems:
            raise FixConfigError("training: " + "; ".join(problems))

    @property
    def round_episodes(self) -> int:
        """Episodes of one round of PPO: all environments run one episode each. Small budgets get small rounds."""
        return max(1, min(self.n_envs, self.eval_freq, self.episodes // LEAST_ROUNDS))

    @property
    def rounds_per_look(self) -> int:
        """Rounds between two looks."""
        return max(1, round(self.eval_freq / self.round_episodes))

    @property
    def looks(self) -> int:
        """Looks at the validation slice that the budget pays for."""
        return max(1, round(self.episodes / (self.round_episodes * self.rounds_per_look)))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any option."""
        return fingerprint({name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()})
