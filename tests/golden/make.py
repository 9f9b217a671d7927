"""Makes the golden files of this code's events: `make golden`.

What a release has written stays as it is; what was written between releases is written anew.
"""

from domain.catalogue import BY_TAG
from infrastructure.event_store.engine_version import engine_version
from tests.golden.files import FOLDER, becoming, path_of, read, up_to_date, write


def main() -> None:
    release = engine_version()
    for tag, event_type in BY_TAG.items():
        path = path_of(tag)
        write(up_to_date(event_type, read(path) if path.exists() else None, release))
    for path in sorted(FOLDER.glob("*.json")):
        golden = read(path)
        if golden.tag in BY_TAG:
            continue
        if all("dev" in each.release for each in golden.examples):
            path.unlink()  # no release has ever written it
        else:
            write(becoming(golden))


if __name__ == "__main__":
    main()
