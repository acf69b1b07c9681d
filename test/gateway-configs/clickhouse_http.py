"""ClickHouse's HTTP interface, as far as its Go driver and this test use it, in front of chdb: ClickHouse's own engine, in this
process, with its tables on disk. Package registries have no server. `clickhouse_http.py PORT FOLDER USER PASSWORD`."""

import base64
import gzip
import json
import os
import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from chdb import session

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
CREDENTIALS = "Basic " + base64.b64encode(f"{sys.argv[3]}:{sys.argv[4]}".encode()).decode()
engine = session.Session(FOLDER)
one_at_a_time = threading.Lock()
INSERT = re.compile(r"^\s*(INSERT\s+INTO\s+.*?\))\s*(?:VALUES|FORMAT\s+Native)", re.S | re.I)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(value) -> bytes:
    data = str(value).encode()
    return varint(len(data)) + data


def block(result: dict) -> bytes:
    """A block as servers send it to the driver's protocol version: with block info, and no special serialization of columns."""
    columns, rows = result["meta"], result["data"]
    out = b"\x01\x00\x02\xff\xff\xff\xff\x00" + varint(len(columns)) + varint(len(rows))
    for index, column in enumerate(columns):
        out += text(column["name"]) + text(column["type"]) + b"\x00"
        for row in rows:
            number = column["type"] == "UInt32"
            out += int(row[index]).to_bytes(4, "little") if number else text(row[index])
    return out


def run(query: str, data: bytes, form: str) -> bytes:
    with one_at_a_time:
        if data:
            with tempfile.NamedTemporaryFile(suffix=".native") as file:
                file.write(data)
                file.flush()
                engine.query(f"{INSERT.match(query).group(1)} SELECT * FROM file('{file.name}', 'Native')")
            return b""
        if form != "Native":
            return engine.query(query, form).bytes()
        if re.match(r"\s*(SELECT|DESC|SHOW|EXISTS)", query, re.I):
            return block(json.loads(engine.query(query, "JSONCompact").bytes()))
        engine.query(query)
        return b""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, b"Ok.\n")

    def body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("content-length", 0)))
        return gzip.decompress(data) if self.headers.get("content-encoding") == "gzip" else data

    def do_POST(self):
        asked = parse_qs(urlsplit(self.path).query)
        data = self.body()
        if self.headers.get("authorization") != CREDENTIALS:
            return self.answer(403, b"Code: 516. Authentication failed", {"X-ClickHouse-Exception-Code": "516"})
        query = asked["query"][0] if "query" in asked else data.decode()
        try:
            self.answer(200, run(query, data if "query" in asked else b"", asked.get("default_format", ["Native"])[0]))
        except Exception as error:
            self.answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": "1"})

    def answer(self, status: int, data: bytes, headers: dict = {}):
        packed = "gzip" in self.headers.get("accept-encoding", "")
        data = gzip.compress(data) if packed else data
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


os.makedirs(FOLDER, exist_ok=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
