"""Servers that a soak watches: a live playlist whose newest parts are refused now and then, and a film that is damaged anew for each who asks."""

import random
import re
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECONDS = 2
LISTED = 5


def parts(film: Path, folder: Path) -> list[Path]:
    """Parts of two seconds of a film."""
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-i", film, "-c:v", "libx264", "-preset", "ultrafast", "-vf", "scale=320:-2", "-g", "50", "-keyint_min", "50",
         "-sc_threshold", "0", "-c:a", "aac", "-f", "hls", "-hls_time", str(SECONDS), "-hls_list_size", "0",
         "-hls_segment_filename", folder / "part%d.ts", folder / "list.m3u8"],
        check=True,
    )
    return sorted(folder.glob("part*.ts"), key=lambda path: int(path.stem[4:]))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """About one byte in four thousand is another one, and some pieces are missing."""
    data = bytearray(data)
    for _ in range(len(data) // 4000):
        data[chance.randrange(len(data))] = chance.randrange(256)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data))
        del data[at:at + chance.randrange(5000)]
    return bytes(data)


class Server:
    """`/live.m3u8`: each half minute its newest part answers 404 or 403 for five seconds. `/damaged.ts`: the whole film, damaged."""

    def __init__(self, films: list[Path], seed: int = 1) -> None:
        self.films = [path.read_bytes() for path in films]
        self.began = time.monotonic()
        self.chance = random.Random(seed)
        self.asked = {"parts": 0, "refused": 0, "damaged": 0}
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = server.answer(self.path)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, path: str) -> tuple[int, bytes]:
        now = time.monotonic() - self.began
        newest = int(now // SECONDS) + LISTED
        if path.startswith("/live.m3u8"):
            return 200, self.playlist(newest).encode()
        if path.startswith("/damaged.ts"):
            self.asked["damaged"] += 1
            return 200, damaged(b"".join(self.films), self.chance)
        number = re.fullmatch(r"/part(\d+)\.ts", path)
        if not number:
            return 404, b""
        if now % 30 < 5 and int(number[1]) >= newest - 2:
            self.asked["refused"] += 1
            return (404 if int(now // 30) % 2 else 403), b""
        self.asked["parts"] += 1
        return 200, self.films[int(number[1]) % len(self.films)]

    def playlist(self, newest: int) -> str:
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SECONDS + 1}", f"#EXT-X-MEDIA-SEQUENCE:{newest - LISTED}"]
        for number in range(newest - LISTED, newest):
            if number % len(self.films) == 0:
                lines.append("#EXT-X-DISCONTINUITY")
            lines += [f"#EXTINF:{SECONDS}.0,", f"part{number}.ts"]
        return "\n".join(lines) + "\n"
