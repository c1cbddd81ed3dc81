import luigi
from luigi.mock import MockTarget


class Greet(luigi.Task):
    name = luigi.Parameter(default="world")

    def output(self):
        return MockTarget("greeting")

    def run(self):
        with self.output().open("w") as file:
            file.write(f"Hello {self.name}!")


class Hello(luigi.Task):
    def requires(self):
        return Greet()

    def output(self):
        return MockTarget("hello")

    def run(self):
        with self.input().open() as greeting, self.output().open("w") as file:
            print(greeting.read())
            file.write("x")


if __name__ == "__main__":
    luigi.build([Hello()], local_scheduler=True)
