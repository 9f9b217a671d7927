"""Every projection there is."""

from projections.alerts import ALERTS
from projections.bots import BOTS
from projections.fills import FILLS
from projections.offsets import OFFSETS
from projections.orders import ORDERS
from projections.portfolio import PORTFOLIO
from projections.position_groups import POSITION_GROUPS
from projections.queue import QUEUE
from projections.risk import RISK
from projections.rows import Projection
from projections.strategies import STRATEGIES

PROJECTIONS: tuple[Projection, ...] = (
    BOTS, ALERTS, ORDERS, FILLS, POSITION_GROUPS, PORTFOLIO, QUEUE, RISK, OFFSETS, STRATEGIES,
)  # fmt: skip
