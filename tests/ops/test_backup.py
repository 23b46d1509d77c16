"""The commands of the runbook's backup and restore, run for real against PostgreSQL and the binary."""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/debug/immune"
START_SECONDS_MAX = 60


def free_port(given=[20000 + os.getpid() % 5000]):  # noqa: B006, the list is what was given last
    """A port that is free now and was not given before; below those that outgoing connections get."""
    while given[0] < 32000:
        given[0] += 1
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", given[0]))
            return given[0]
    raise AssertionError("no free port")


def until(what, condition):
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if found := condition():
                return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {START_SECONDS_MAX} s")


class Postgres:
    """A server of its own; PostgreSQL refuses to be root, so that root starts it as the user `postgres`."""

    def __init__(self, folder):
        versions = pathlib.Path("/usr/lib/postgresql").iterdir()
        self.programs = max(versions, key=lambda path: int(path.name)) / "bin"
        self.data, self.port = pathlib.Path(folder, "data"), free_port()
        self.drop = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self.drop = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        make = ["initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=immune", "-D", self.data]
        self.run(*make)
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
        flags = [flag for setting in settings for flag in ("-c", setting)]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.data, *flags], stderr=subprocess.DEVNULL, cwd=folder, **self.drop
        )
        until("PostgreSQL answers", lambda: self.ask("postgres", "SELECT 1") == "1")

    def run(self, program, *arguments, **options):
        """Runs one of its programs."""
        command = [self.programs / program, *arguments]
        drop = self.drop if program == "initdb" else {}
        ran = subprocess.run(command, capture_output=True, text=True, cwd=self.data.parent, **drop, **options)
        if ran.returncode != 0:
            raise AssertionError(f"{program}: {ran.stderr}")
        return ran.stdout.strip()

    def url(self, database):
        """Where a database is."""
        return f"postgres://immune@127.0.0.1:{self.port}/{database}"

    def ask(self, database, sql):
        """The answer to a question in SQL."""
        command = [self.programs / "psql", "-XAtq", "-d", self.url(database), "-c", sql]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def stop(self):
        """Ends it at once; its folder goes as well."""
        self.process.kill()
        self.process.wait()


class Server:
    """The binary, all roles, on a database."""

    def __init__(self, folder, url):
        ports = {name: free_port() for name in ["rest", "metrics", "grpc", "otlp", "http"]}
        self.rest = f"http://127.0.0.1:{ports['rest']}"
        self.config = pathlib.Path(folder, "immune.yaml")
        config = {
            "store": {"url": url},
            "metrics": {"listen": f"127.0.0.1:{ports['metrics']}"},
            "dashboard": {"listen": f"127.0.0.1:{ports['rest']}"},
            "grpc": {"enabled": False},
            "ingestion": {"grpc_listen": f"127.0.0.1:{ports['otlp']}", "http_listen": f"127.0.0.1:{ports['http']}"},
        }
        # JSON is YAML.
        self.config.write_text(json.dumps(config))
        self.process = None

    def start(self):
        """Starts it and waits until it is ready."""
        self.process = subprocess.Popen([BINARY, "serve", "--config", self.config], stderr=subprocess.DEVNULL)
        until("the server is healthy", lambda: self.get("/api/v1/health"))

    def get(self, path):
        """A JSON answer."""
        with urllib.request.urlopen(self.rest + path, timeout=10) as answer:
            return json.load(answer)

    def post(self, path, body):
        """Sends JSON."""
        request = urllib.request.Request(self.rest + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def command(self, *arguments):
        """What a command prints."""
        ran = subprocess.run([BINARY, *arguments, "--config", self.config], capture_output=True, text=True)
        if ran.returncode != 0:
            raise AssertionError(f"{arguments}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def stop(self):
        """Stops it as Kubernetes would."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)


class Backup(unittest.TestCase):
    def test_a_dump_brings_everything_back(self):
        """Scenario: an open case; a dump of the running system; the database is lost; the dump goes into a new one.
        Guarantees: the case is open, the action log is intact and ends where it ended, decisions can be made."""
        folder = tempfile.mkdtemp(prefix="immune-backup-")
        self.addCleanup(shutil.rmtree, folder, True)
        home = tempfile.mkdtemp(prefix="immune-server-")
        self.addCleanup(shutil.rmtree, home, True)
        postgres = Postgres(folder)
        self.addCleanup(postgres.stop)
        postgres.run("createdb", "--maintenance-db", postgres.url("postgres"), "immune")
        server = Server(home, postgres.url("immune"))
        server.command("migrate")
        server.start()
        self.addCleanup(server.stop)
        server.post("/api/agents/analyst-1/infected", {"reason": "does what it must not"})
        case = until("a case is open", lambda: server.get("/api/cases"))[0]
        link = self.link(server)
        self.assertFalse(link.startswith("0:"), link)

        dump = pathlib.Path(home, "immune.dump")
        postgres.run("pg_dump", "--format=custom", "--no-owner", f"--file={dump}", postgres.url("immune"))
        server.stop()
        postgres.run("dropdb", "--maintenance-db", postgres.url("postgres"), "immune")

        postgres.run("createdb", "--maintenance-db", postgres.url("postgres"), "restored")
        restore = ["--exit-on-error", "--no-owner", "--single-transaction", f"--dbname={postgres.url('restored')}", dump]
        postgres.run("pg_restore", *restore)
        again = Server(home, postgres.url("restored"))
        again.command("migrate")
        again.command("verify-log", "--expect", link)
        again.start()
        self.addCleanup(again.stop)
        restored = until("the case is known", lambda: again.get("/api/cases"))[0]
        self.assertEqual(restored["case_id"], case["case_id"])
        decided = again.post(f"/api/cases/{case['case_id']}/release", {"reason": "restored"})
        self.assertTrue(decided)

    def link(self, server):
        """Where the action log ends, as one would keep it elsewhere."""
        return json.loads(server.command("verify-log", "--output", "json"))["last"]


if __name__ == "__main__":
    unittest.main()
