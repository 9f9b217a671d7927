"""Ready alert bodies: what to paste into a chart's alert, whose placeholders the chart fills in.

Every placeholder is in quotes, so that the body is JSON whatever is filled in.
"""

from typing import Any, Literal, get_args

Form = Literal["own", "target", "indicator", "bot", "engine"]
FORMS: tuple[Form, ...] = get_args(Form)

_CHART = {
    "time": "{{timenow}}",
    "symbol": "{{exchange}}:{{ticker}}",
    "timeframe": "{{interval}}",
}
_STRATEGY = {
    "market_position": "{{strategy.market_position}}",
    "market_position_size": "{{strategy.market_position_size}}",
    "prev_market_position": "{{strategy.prev_market_position}}",
    "prev_market_position_size": "{{strategy.prev_market_position_size}}",
}

TEMPLATES: dict[Form, dict[str, Any]] = {
    "own": {
        **_CHART,
        "action": "{{strategy.order.action}}",
        "order_id": "{{strategy.order.id}}",
        "price": "{{close}}",
        "quantity": "{{strategy.order.contracts}}",
        "market_position": "{{strategy.market_position}}",
        "market_position_size": "{{strategy.market_position_size}}",
    },
    "target": {
        **_CHART,
        "action": "target",
        "order_id": "{{strategy.order.id}}",
        "price": "{{close}}",
        "position": "{{strategy.position_size}}",
    },
    "indicator": {**_CHART, "action": "buy", "price": "{{close}}"},
    "bot": {
        "max_lag": "300",
        "timestamp": "{{timenow}}",
        "trigger_price": "{{close}}",
        "tv_exchange": "{{exchange}}",
        "tv_instrument": "{{ticker}}",
        "timeframe": "{{interval}}",
        "action": "{{strategy.order.action}}",
        "order_id": "{{strategy.order.id}}",
        "strategy_info": _STRATEGY,
        "order": {"amount": "{{strategy.order.contracts}}", "currency_type": "base"},
    },
    "engine": {
        "timestamp": "{{timenow}}",
        "tv": {
            "exchange": "{{exchange}}",
            "symbol": "{{ticker}}",
            "timeframe": "{{interval}}",
            "action": "{{strategy.order.action}}",
            **_STRATEGY,
            "close_price": "{{close}}",
            "order_size": "{{strategy.order.contracts}}",
        },
        "strategy_info": {"trade_id": "{{strategy.order.id}}"},
        "execution_intent": {
            "type": "signal",
            "side": "{{strategy.order.action}}",
            "position_size_type": "contracts",
        },
    },
}


def template_of(form: Form, *, action: str | None = None, secret: str | None = None) -> dict[str, Any]:
    """A body of a form; `action` is what an indicator's alert asks for, `secret` is the webhook's."""
    body = {"secret": secret, **TEMPLATES[form]} if secret else dict(TEMPLATES[form])
    return body if action is None else {**body, "action": action}
