"""What the service and its clients say to each other, as pydantic models: the one definition of every answer under ``/api/v1``.

The server builds its OpenAPI document from them, the client reads answers with them. Numbers that are not finite travel as null.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .numbers import finite

Role = Literal["viewer", "operator", "instrument", "admin"]
CampaignState = Literal["running", "paused", "interrupted", "finished", "failed", "starting", "damaged"]
Number = Annotated[float | None, BeforeValidator(finite)]
"""A number; null where it is not finite or there is none."""


class Message(BaseModel):
    """Base of all answers: unknown keys of later servers are ignored."""

    model_config = ConfigDict(extra="ignore")


class Problem(Message):
    """What went wrong."""

    code: str
    message: str


class ErrorAnswer(Message):
    """The body of every answer from 400 on."""

    error: Problem


class Best(Message):
    """The incumbent."""

    trial: int
    objective: Number
    z: list[Number]


class Needs(Message):
    """Trials that wait for a person."""

    held: int = 0
    unknown: int = 0
    quarantined: int = 0


class CampaignSummary(Message):
    """One campaign at a glance."""

    name: str
    """The campaign's folder under the server's root: its name in every address."""
    title: str
    """The name in its configuration."""
    state: CampaignState
    reason: str = ""
    n_trials: int = 0
    budget: int = 0
    counts: dict[str, int] = {}
    goal: Literal["maximize", "minimize"] = "maximize"
    metric: str = ""
    incumbent: Best | None = None
    sparkline: list[Number] = []
    """The best value so far, at no more than 60 evenly spaced completed trials."""
    needs: Needs = Needs()
    created_at: Number = None
    seconds: Number = 0.0
    seconds_left: Number = None
    kind: Literal["pure", "physical"] = "pure"
    last_event: int = -1
    is_loading: bool = False


class WorkerMessage(Message):
    """Someone who measures."""

    name: str
    n_trials: int
    measuring: int | None = None
    since: Number = None


class Queue(Message):
    """Trials under way."""

    armed: list[int] = []
    held: list[int] = []
    approved: list[int] = []


class EnvelopeMessage(Message):
    """The lowest and the highest value at each step; null where unbounded."""

    lower: list[Any]
    upper: list[Any]


class CampaignDetail(CampaignSummary):
    """One campaign, with what a page needs once."""

    configuration: dict[str, Any] = {}
    environment: dict[str, str] = {}
    box: list[tuple[Number, Number]] = []
    times: list[Number] = []
    time_unit: str = ""
    unit: str = ""
    channels: list[str] = []
    envelope: EnvelopeMessage | None = None
    arrays: list[str] = []
    models: list[dict[str, Any]] = []
    workers: list[WorkerMessage] = []
    queue: Queue = Queue()
    notes: list[dict[str, Any]] = []


class CampaignList(Message):
    """All campaigns that the caller may see."""

    campaigns: list[CampaignSummary]


class TrialMessage(Message):
    """One trial."""

    number: int
    state: str
    z: list[Number]
    objective: Number = None
    objective_error: Number = None
    metrics: dict[str, Number] = {}
    acquisition: str = ""
    acquisition_value: Number = None
    predicted_objective: Number = None
    predicted_error: Number = None
    distance: Number = None
    consistency: Number = None
    model_version: int = 0
    armed_at: Number = None
    finished_at: Number = None
    seconds: Number = None
    worker: str = ""
    reason: str = ""
    is_approved: bool = False
    is_projected: bool = False
    is_outlier: bool = False
    refers_to: int | None = None


class EventMessage(Message):
    """One event of the journal."""

    number: int
    time: float
    kind: str
    data: dict[str, Any]


class TrialDetail(TrialMessage):
    """One trial with its trajectory, the shapes of its arrays and its events."""

    times: list[Number] = []
    trajectory: list[Any] | None = None
    arrays: dict[str, list[int]] = {}
    events: list[EventMessage] = []


class TrialPage(Message):
    """Some of the trials."""

    total: int
    trials: list[TrialMessage]


class ArrayMessage(Message):
    """A trial's array, thinned along axes that are too long for a page."""

    name: str
    shape: list[int]
    """The whole array's."""
    values: list[Any]


class EventPage(Message):
    """Some of the events."""

    events: list[EventMessage]


class JournalMessage(Message):
    """What the stream says of an event of the journal."""

    number: int
    time: float
    kind: str
    data: dict[str, Any] = Field(default_factory=dict, description="The event's own data; of one that changes a trial, who did it and why.")
    trial: TrialMessage | None = None
    summary: CampaignSummary | None = None


class Me(Message):
    """Who asks."""

    name: str
    role: Role
    campaigns: list[str] | None
    authentication: bool


class LoggedIn(Message):
    """Who is logged in; null for nobody."""

    me: Me | None


class Version(Message):
    """The server's release."""

    version: str


class PresetMessage(Message):
    """A campaign to start from."""

    name: str
    description: str
    configuration: dict[str, Any]


class Choices(Message):
    """Names that a new campaign may use on this server."""

    families: list[str]
    latent_models: list[str]
    surrogates: list[str]
    acquisitions: list[str]
    evaluators: list[str]
    executors: list[str]
    files: list[str]


class PreviewMessage(Message):
    """A few trajectories of a family or of a file."""

    times: list[Number]
    time_unit: str
    unit: str
    channels: list[str]
    trajectories: list[Any]
    n_in_file: int | None = None
    """How many the file holds; null for a family, which draws as many as one likes."""


class DecodedPoint(Message):
    """What a latent point means."""

    trajectory: list[Any]
    times: list[Number]
    violation: str | None
    mean: Number
    std: Number


class FigureEntry(Message):
    """A figure that a campaign has."""

    name: str
    title: str
    per_trial: bool


class FigureList(Message):
    """The figures that a campaign has."""

    figures: list[FigureEntry]


class Difference(Message):
    """A key of the configurations that differs."""

    key: str
    values: dict[str, Any]


class Comparison(Message):
    """Several campaigns side by side."""

    figures: dict[str, dict[str, Any]]
    differences: list[Difference]


class Said(Message):
    """What became of an operator's action."""

    message: str
    command: str = ""
    """Name of the command in the campaign's inbox; the event that obeys it carries the same."""
