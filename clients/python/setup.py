"""Generates guildhall/v1 with protoc, from the project's own .proto files, before anything is packaged."""

import subprocess
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto" / "src" / "main" / "protobuf"
FILES = ["guildhall/v1/tensor.proto", "guildhall/v1/layer_config.proto", "guildhall/v1/moe_layer_service.proto"]


class Generate(Command):
    """Writes src/guildhall/v1; enough to use the package from this folder."""

    description = "generate the messages of guildhall/v1"
    user_options = []

    def initialize_options(self) -> None:
        pass

    def finalize_options(self) -> None:
        pass

    def run(self) -> None:
        out = HERE / "src"
        subprocess.run(
            ["protoc", f"--proto_path={PROTO}", f"--python_out={out}", f"--pyi_out={out}", *FILES], check=True
        )
        (out / "guildhall" / "v1" / "__init__.py").touch()


class GenerateAndBuild(build_py):
    def run(self) -> None:
        self.run_command("generate")
        super().run()


setup(cmdclass={"build_py": GenerateAndBuild, "generate": Generate})
