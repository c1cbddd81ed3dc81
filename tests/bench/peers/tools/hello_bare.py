def greet(name: str) -> str:
    return f"Hello {name}!"


def hello(name: str = "world") -> None:
    print(greet(name))


if __name__ == "__main__":
    hello()
