"""Everything that decides how a policy is trained, in one value with a fingerprint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from trading_platform.core.errors import FixConfigError
from trading_platform.core.rewards import REWARD_KINDS
from trading_platform.core.validation import did_you_mean, fingerprint

EPISODE_SESSIONS = 20
# Each round moves the policy by one trust region, so a budget spent in fewer rounds goes nowhere: in a synthetic market
# 1,000 episodes in 20 rounds recovered 93 % of the oracle's gain, in 10 rounds 73 %.
LEAST_ROUNDS = 20
BASES = ("equal", "minimum_variance", "sharpe")
ALGORITHMS = ("ppo", "a2c", "sac", "gradient")
OBJECTIVES = ("risk", "return")
# The reward that training pays for each objective where none is named: a difference from the base, whose own policy
# earns exactly 0.
REWARD_OF = {"risk": "utility", "return": "sharpe_difference"}
# What theory names: few shared features, and each strategy's own by the name that they have in common.
SHARED_FEATURES = ("trend", "two_year_return", "vix", "vix_ratio", "dispersion", "correlation", "bill_rate")
OWN_FEATURES = ("momentum_year", "relative_volatility", "beta")
# A run below so many episodes a fit is a short one: it does less of everything, and says so.
SHORT_RUN = 4_000


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """Options of one fit. An episode is 20 sessions, so 1,000 episodes are 20,000 steps.

    Attributes
    ----------
    algo : "ppo", "a2c", "sac" (stable-baselines3's), or "gradient" (`training.gradient`), the yardstick.
    objective : "risk" or "return"; "" leaves it to the settings' ``[allocator] objective``.
    episodes : budget of one fit. eval_freq : episodes between two looks at the validation slice.
    patience : looks without a better one after which a fit ends with the best; 0 = never early, with the last.
    features : names of the observation fields, or of whole groups, that the policy sees. What every strategy has of
        its own is named without the strategy ("beta"); with such features the policy is a scorer that reads every
        strategy by the same weights (`core.sleeve_scorer`), else one network for all.
    clip : scaled features are cut to [-clip, clip].
    action_kind, action_scale : the map from action to weights; at 0.5 a strategy's odds move by e^0.5 at most. Half of
        that is lost again: a slot is bounded (5 % by default), so that more weight rarely buys more, while less sells.
    hidden : units of each layer; none = linear.
    learning_rate, epochs, batch_size, gamma, gae_lambda, clip_range, target_kl : of PPO; A2C and SAC take what they
        have of them.
    log_std : logarithm of the noise by which opinions in [-1, 1] are tried out; at 0 it is as wide as they may be.
        Narrow noise moves a position less than the band within which nothing is traded, and so teaches nothing: at -1.4
        PPO found a quarter of the reward that the direct gradient has in the same episodes, at 0 all of it.
    ridge : price of the squared weights in "gradient".
    sustained_exploration : draw noise once an episode, as a function of the state (gSDE, Raffin et al. 2021), instead
        of anew every session: capital that is split anew every day has no time to show what a split is worth.
    mirrored_pairs : let two episodes start alike and explore in opposite directions, and reward each against its twin:
        what the market did to both cancels. A baseline that depends on the market but not on the action leaves the
        gradient where it is (Mao et al. 2019, "Variance Reduction for RL in Input-Driven Environments").
    weight_decay : pull of the policy's weights to zero, that is to the base allocation.
    n_envs : episodes that run side by side, at most; a look comes after a whole number of rounds.
    reward : see `core.rewards`; "" takes the objective's: "utility" for risk, "sharpe_difference" for return.
    cost_bps : half-spread and slippage of training, validation and test.
    universe_share, block_sessions, volatility_jitter : of the histories drawn for training, see `ResampleOptions`.
    n_universes : how many are drawn; 0 = the loaded market alone. universe_seed : draws them; one for all fits, so
    that seeds differ by the fit only.
    base : "equal": equal weight of all sleeves that do not stand aside, the only one that was judged. By name only, on
        trial: "minimum_variance" (`worlds.minimum_variance_base`; it prefers the quietest books, which earn least) and
        "sharpe" (`worlds.shrunken_base`), learned from all sessions before a fold's validation. base_sessions,
        base_sharpness : of these two.
    earned_tilt : shrink the distance from the base by what validation says of it (`judging.earned_scale`).
    on_rules : learn on top of the published rules (docs/allocation.md): they multiply what the policy says, in
        training, in judging and in service. Without them the policy stands on its base alone.
    cost_jitter : training costs are multiplied by a factor between 1 / (1 + jitter) and 1 + jitter.
    """

    algo: str = "ppo"
    objective: str = ""
    episodes: int = 16_000
    eval_freq: int = 1_600
    patience: int = 0
    features: tuple[str, ...] = (*SHARED_FEATURES, *OWN_FEATURES)
    clip: float = 3.0
    action_kind: str = "softmax"
    action_scale: float = 0.5
    hidden: tuple[int, ...] = ()
    learning_rate: float = 3e-3
    epochs: int = 5
    batch_size: int = 1024
    gamma: float = 0.97
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    target_kl: float = 0.03
    log_std: float = 0.0
    sustained_exploration: bool = True
    mirrored_pairs: bool = True
    weight_decay: float = 0.0
    ridge: float = 1.0
    n_envs: int = 256
    reward: str = ""
    cost_bps: float = 10.0
    universe_share: float = 0.5
    block_sessions: int = 0
    volatility_jitter: float = 0.0
    n_universes: int = 4
    universe_seed: int = 1
    base: str = "equal"
    base_sessions: float = 504.0
    base_sharpness: float = 1.5
    earned_tilt: bool = False
    on_rules: bool = False
    cost_jitter: float = 0.0

    def __post_init__(self) -> None:
        bounds = {
            "episodes": 1,
            "eval_freq": 1,
            "patience": 0,
            "epochs": 1,
            "batch_size": 2,
            "n_envs": 1,
            "n_universes": 0,
            "cost_bps": 0,
            "base_sessions": 0,
            "base_sharpness": 0,
            "universe_seed": 0,
        }
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
        if not all(units >= 1 for units in self.hidden):
            problems.append(f"hidden must name at least one unit a layer, was {self.hidden}")
        for name, choices, may_be_empty in (
            ("algo", ALGORITHMS, False),
            ("objective", OBJECTIVES, True),
            ("reward", REWARD_KINDS, True),
        ):
            value = getattr(self, name)
            if value not in choices and not (may_be_empty and value == ""):
                hint = did_you_mean(value, choices)
                problems.append(f"{name} must be one of {', '.join(choices)}, was {value!r}{hint}")
        if self.on_rules and self.action_kind != "softmax":
            problems.append(f"on_rules needs action_kind softmax, which factors multiply; was {self.action_kind!r}")
        if not (0.0 <= self.ridge < float("inf")):
            problems.append(f"ridge must be at least 0 and finite, was {self.ridge}")
        if problems:
            raise FixConfigError("training: " + "; ".join(problems))

    def settled(self, objective: str) -> TrainingSetup:
        """Return the setup with what it leaves open: the settings' `objective`, and the reward that goes with it."""
        chosen = self.objective or objective
        return replace(self, objective=chosen, reward=self.reward or REWARD_OF[chosen])

    @property
    def aim(self) -> str:
        """The objective; risk where nothing was said."""
        return self.objective or "risk"

    @property
    def paid_reward(self) -> str:
        """The reward; the objective's where nothing was said."""
        return self.reward or REWARD_OF[self.aim]

    @property
    def is_short(self) -> bool:
        """Whether the budget is that of a quick look."""
        return self.episodes < SHORT_RUN

    @property
    def usual_seeds(self) -> int:
        """Fits that are averaged where nobody says how many."""
        return 1 if self.is_short else 3

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
        if self.algo == "gradient":
            return 1
        return max(1, round(self.episodes / (self.round_episodes * self.rounds_per_look)))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any option."""
        return fingerprint({name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()})
