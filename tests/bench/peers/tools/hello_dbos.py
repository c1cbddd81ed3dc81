from pathlib import Path

from dbos import DBOS

DBOS(
    config={
        "name": "hello",
        "system_database_url": f"sqlite:///{Path.cwd()}/dbos.sqlite",
        "run_admin_server": False,
    }
)


@DBOS.step()
def greet(name: str) -> str:
    return f"Hello {name}!"


@DBOS.workflow()
def hello(name: str = "world") -> None:
    print(greet(name))


if __name__ == "__main__":
    DBOS.launch()
    hello()
    DBOS.destroy()
