"""The stream's route; what it does is in `api/stream.py`."""

from api.stream import router

__all__ = ["router"]
