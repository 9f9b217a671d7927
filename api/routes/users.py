"""Users: who may log in, and as what. For administrators."""

from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Path, Request
from pydantic import ConfigDict, model_validator

from api.problems import responses
from api.security import Admin, address_of
from api.shapes import Answer, Body, Password, UserName
from domain.values import time_text
from infrastructure.access import Access, Role, User

router = APIRouter(prefix="/users", tags=["users"], responses=responses(404, 409))
_hashing = CapacityLimiter(2)
_NameInPath = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class NewUser(Body):
    """A user to be."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "ada", "role": "trader", "password": "correct horse battery"}]}
    )

    name: UserName
    role: Role
    password: Password


class UserChange(Body):
    """What changes; the user's sessions end with it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "viewer"}, {"disabled": True}]})

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None

    @model_validator(mode="after")
    def _something(self) -> "UserChange":
        if self.role is None and self.disabled is None and self.password is None:
            raise ValueError("give at least one of role, disabled, password")
        return self


class KnownUser(Answer):
    """A user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "ada", "role": "trader", "disabled": False, "created_at": "2026-01-01T00:00:00Z"}]
        }
    )

    name: str
    role: Role
    disabled: bool
    created_at: str


class KnownUsers(Answer):
    """All users, by name."""

    items: list[KnownUser]


@router.get("", summary="All users")
def list_users(request: Request, _user: Admin) -> KnownUsers:
    access: Access = request.app.state.access
    return KnownUsers(items=[_known(user) for user in access.users()])


@router.post("", summary="Add a user", status_code=201)
async def add_user(request: Request, user: Admin, body: NewUser) -> KnownUser:
    access: Access = request.app.state.access

    def create() -> User:
        return access.create_user(user.actor, body.name, body.role, body.password, address_of(request))

    return _known(await to_thread.run_sync(create, limiter=_hashing))


@router.patch("/{name}", summary="Change a user's role or password, disable or enable")
async def change_user(request: Request, user: Admin, name: _NameInPath, body: UserChange) -> KnownUser:
    access: Access = request.app.state.access

    def change() -> User:
        return access.change_user(
            user.actor, name, role=body.role, disabled=body.disabled, password=body.password,
            address=address_of(request),
        )  # fmt: skip

    return _known(await to_thread.run_sync(change, limiter=_hashing))


def _known(user: User) -> KnownUser:
    return KnownUser(name=user.name, role=user.role, disabled=user.disabled, created_at=time_text(user.created_at))
