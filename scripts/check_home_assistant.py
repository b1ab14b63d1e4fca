#!/usr/bin/env python3
"""Tries what Home Assistant is told with Home Assistant itself, a broker and the daemon.

    make build
    scripts/check_home_assistant.py

Streams and rules are found, follow what happens, start an automation, are unavailable while the daemon is gone, and go when they go, also
while nobody was there to say so. Home Assistant is installed into the cache at the first run (some minutes; it fetches what its parts need
itself). Not a part of `make test`: it is 300 MB of Python for one page of messages, which `tests/run_told/mqtt.rs` holds.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("AVICUNA_CACHE") or Path.home() / ".cache/avicuna")
VENV = CACHE / "venv-home-assistant"
# The last release for Debian 12's Python, and what it was made with where that has changed since.
RELEASE = ["homeassistant==2024.3.3", "josepy<2"]
CLIENT = "http://127.0.0.1/"

AUTOMATION = """\
- alias: tell the house
  trigger:
    - platform: state
      entity_id: event.avicuna_rules_anything
  action:
    - service: mqtt.publish
      data:
        topic: house/told
        retain: true
        payload: "{{ trigger.to_state.attributes.label }} on {{ trigger.to_state.attributes.stream_id }}"
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def call(address: str, path: str, body: dict | str | None = None, method: str | None = None, token: str | None = None) -> dict | list | None:
    """One call: a dict goes as JSON, text as a form."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if body is not None else None
    kind = "application/json" if isinstance(body, dict) else "application/x-www-form-urlencoded"
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"http://{address}{path}", data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as reply:
        text = reply.read()
    return json.loads(text) if text else None


def until(what: str, look: Callable[[], Any], seconds: float = 90) -> Any:
    """Looks until there is something to see."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except OSError:
            seen = None
        if seen:
            print(f"ok: {what}", flush=True)
            return seen
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.3)


class House:
    """Home Assistant, with one user and the broker."""

    def __init__(self, folder: Path, broker: int) -> None:
        self.folder, self.port = folder, free_port()
        self.address, self.token = f"127.0.0.1:{self.port}", None
        (folder / "configuration.yaml").write_text(
            f"homeassistant:\n  name: Test\n  time_zone: UTC\nhttp:\n  server_host: 127.0.0.1\n  server_port: {self.port}\n"
            "api:\nconfig:\nonboarding:\nautomation: !include automations.yaml\nlogger:\n  default: warning\n"
        )
        (folder / "automations.yaml").write_text(AUTOMATION)
        self.start()
        found = until("Home Assistant runs", lambda: call(self.address, "/api/onboarding"), 900)
        assert any(step["step"] == "user" for step in found), found
        user = {"client_id": CLIENT, "name": "Test", "username": "test", "password": "test-test", "language": "en"}
        code = call(self.address, "/api/onboarding/users", user)["auth_code"]
        told = call(self.address, "/auth/token", f"grant_type=authorization_code&code={code}&client_id={CLIENT}")
        self.token = told["access_token"]
        flow = self.call("/api/config/config_entries/flow", {"handler": "mqtt"})
        flow = self.call(f"/api/config/config_entries/flow/{flow['flow_id']}", {"broker": "127.0.0.1", "port": broker})
        assert flow["type"] == "create_entry", flow
        print("ok: Home Assistant reads the broker", flush=True)

    def start(self) -> None:
        log = open(self.folder / "log", "a")
        self.process = subprocess.Popen([VENV / "bin/hass", "-c", self.folder], stdout=log, stderr=log)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(120)

    def call(self, path: str, body: dict | None = None) -> dict | list | None:
        return call(self.address, path, body, token=self.token)

    def entity(self, name: str) -> dict | None:
        """The entity of that id, if there is one."""
        try:
            return self.call(f"/api/states/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def is_in(self, name: str, state: str) -> dict | None:
        entity = self.entity(name)
        return entity if entity and entity["state"] == state else None


class Daemon:
    """The daemon, and its interface."""

    def __init__(self, program: Path, folder: Path, broker: int, model: Path) -> None:
        self.program, self.folder, self.broker, self.model = program, folder, broker, model
        self.address = f"127.0.0.1:{free_port()}"

    def start(self, streams: list[str]) -> None:
        film = ROOT / "assets/demo/scene.mp4"
        told = "".join(f'[[stream]]\nid = "{name}"\nuri = "{film}"\nloop = true\nrealtime = true\n' for name in streams)
        config = self.folder / "avicuna.toml"
        config.write_text(
            f'daemon.exit_when_done = false\nmodel.path = "{self.model}"\noutbox.path = "{self.folder}/outbox.redb"\n'
            f'history.path = "{self.folder}/history.sqlite"\ncontrol.listen = "{self.address}"\nsink.kind = "jsonl"\n'
            f'sink.jsonl.path = "/dev/null"\ncontrol.allow.schemes = ["test"]\n[[mqtt]]\nname = "home"\nbroker = "mqtt://127.0.0.1:{self.broker}"\n{told}'
        )
        log = open(self.folder / "daemon.log", "a")
        self.process = subprocess.Popen([self.program, "run", "--config", config], stdout=log, stderr=log)

    def end(self, by: signal.Signals) -> None:
        self.process.send_signal(by)
        self.process.wait(60)

    def call(self, path: str, body: dict | None = None, method: str | None = None) -> dict | list | None:
        return call(self.address, path, body, method)


def install() -> None:
    if (VENV / "bin/hass").exists():
        return
    print("installing Home Assistant into the cache", flush=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *RELEASE], check=True)


def tour(house: House, daemon: Daemon, broker: int) -> None:
    watched, second = "binary_sensor.front_door_watched", "binary_sensor.yard_2_watched"
    told, rule = "event.front_door_events", "event.avicuna_rules_anything"
    daemon.start(["front-door"])
    sensor = until("a stream is a sensor that says it is watched", lambda: house.is_in(watched, "on"))
    assert sensor["attributes"]["device_class"] == "connectivity", sensor
    until("with the stream's state", lambda: house.entity(watched)["attributes"].get("stream_state") == "watching")
    event = until("what happens is an event", lambda: (found := house.entity(told)) and found["attributes"].get("label") and found)
    assert event["attributes"]["event_type"] in ("started", "updated", "ended"), event
    label = event["attributes"]["label"]
    daemon.call("/v1/rules", {"id": "anything", "label": label, "min_score": 0.0})
    until("a rule is an event", lambda: house.is_in(rule, "unknown"))
    fired = until("a rule fires", lambda: (found := house.entity(rule)) and found["attributes"].get("label") and found, 180)
    assert fired["attributes"]["event_type"] == "alert" and fired["attributes"]["label"] == label, fired
    reader = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker), "-t", "house/told", "-C", "1", "-W", "30"]
    heard = subprocess.run(reader, check=True, capture_output=True, text=True).stdout.strip()
    assert heard == f"{label} on front-door", heard
    print(f"ok: an automation told the house: {heard}", flush=True)

    daemon.call("/v1/streams", {"id": "yard-2", "uri": "test://", "live": True})
    until("a stream that is added is found", lambda: house.is_in(second, "on"))
    daemon.call("/v1/streams/yard-2", method="DELETE")
    until("a stream that is removed goes", lambda: house.entity(second) is None)

    daemon.end(signal.SIGKILL)
    until("a killed daemon makes it unavailable", lambda: house.is_in(watched, "unavailable"))
    daemon.start(["front-door", "yard-2"])
    until("it is back", lambda: house.is_in(watched, "on") and house.is_in(second, "on"))
    house.stop()
    house.start()
    until("after its own restart Home Assistant finds them again", lambda: house.is_in(watched, "on") and house.is_in(second, "on"), 180)
    daemon.end(signal.SIGTERM)
    until("a goodbye makes it unavailable", lambda: house.is_in(watched, "unavailable"))
    daemon.start(["front-door"])
    until("a stream that was taken out of the file meanwhile goes", lambda: house.is_in(watched, "on") and house.entity(second) is None)
    daemon.call("/v1/rules/anything", method="DELETE")
    until("a rule that is removed goes", lambda: house.entity(rule) is None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/avicuna")
    parser.add_argument("--model", type=Path, default=ROOT / "assets/models/avicuna-small")
    args = parser.parse_args()
    install()
    with tempfile.TemporaryDirectory(prefix="avicuna-house-") as name:
        folder, broker = Path(name), free_port()
        (folder / "house").mkdir()
        (folder / "mosquitto.conf").write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
        mosquitto = subprocess.Popen(["/usr/sbin/mosquitto", "-c", folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)
        daemon, house = Daemon(args.program, folder, broker, args.model), None
        try:
            house = House(folder / "house", broker)
            tour(house, daemon, broker)
            daemon.end(signal.SIGTERM)
        except BaseException:
            for log in ("daemon.log", "house/log"):
                if (folder / log).exists():
                    print(f"--- {log}\n{(folder / log).read_text()[-4000:]}", file=sys.stderr)
            raise
        finally:
            for process in (house and house.process, getattr(daemon, "process", None), mosquitto):
                if process:
                    process.kill()


if __name__ == "__main__":
    main()
