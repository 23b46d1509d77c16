"""What the image is built from, and that nothing is missing in it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest

from context import files

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BINARY = ROOT / "target/debug/immune"


class Image(unittest.TestCase):
    def test_hadolint_finds_nothing(self):
        """Guarantees: the Dockerfile follows the rules of its linter."""
        program = ROOT / "target/tools/bin/hadolint"
        ran = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_the_toolchain_is_the_projects(self):
        """Guarantees: the image is built with the version of Rust that the tests ran with."""
        toolchain = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        self.assertEqual(re.findall(r"^ARG RUST_VERSION=(.*)$", DOCKERFILE, re.M), [toolchain])

    def test_the_image_has_the_libraries_that_the_binary_needs(self):
        """Guarantees: what the binary is linked with is what the image copies."""
        linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
        needed = {line.split()[0] for line in linked.splitlines() if "=>" in line}
        copied = re.search(r"for library in (.*?); do", DOCKERFILE).group(1).split()
        self.assertEqual(needed, set(copied))

    def test_the_user_has_no_rights(self):
        """Guarantees: a user by number that is not root, as Kubernetes' runAsNonRoot needs it."""
        self.assertEqual(re.findall(r"^USER (.*)$", DOCKERFILE, re.M), ["65532:65532"])

    def test_the_context_suffices(self):
        """Scenario: the files that .dockerignore leaves, alone in a folder.
        Guarantees: cargo can plan the build there, every file that the sources take in is there, and nothing large."""
        with tempfile.TemporaryDirectory() as folder:
            copy(folder)
            plan = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]
            # The folder has no rust-toolchain.toml, which is as it is in the image.
            environment = {**os.environ, "RUSTUP_TOOLCHAIN": re.search(r"ARG RUST_VERSION=(.*)", DOCKERFILE).group(1)}
            ran = subprocess.run(plan, cwd=folder, capture_output=True, text=True, env=environment)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            crates = {crate["name"]: crate for crate in json.loads(ran.stdout)["packages"]}
            self.assertIn("immune-server", crates)
            size = sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
            self.assertLess(size, 20 << 20, "bytes of the context")
            for source in pathlib.Path(folder).rglob("services/*/src/**/*.rs"):
                if re.search(r"(^|/|_)tests?(/|\.rs$|_)", str(source.relative_to(folder))):
                    continue
                # What follows is for tests, and is not built.
                built = source.read_text().split("#[cfg(test)]")[0]
                for taken in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', built):
                    self.assertTrue((source.parent / taken).is_file(), f"{source} takes in {taken}")


def copy(folder):
    """Copies the context into a folder."""
    for path in files(ROOT):
        target = pathlib.Path(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)


if __name__ == "__main__":
    unittest.main()
