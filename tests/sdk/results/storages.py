"""Storages of each kind for the contract suite, and a real server that speaks S3 where one is installed."""

from __future__ import annotations

import atexit
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from towpath.filesystems import LocalFileSystem, RemoteFileSystem
from towpath.stores import Storage

KINDS = ["folder", "file URL of fsspec", "memory", pytest.param("S3", marks=pytest.mark.s3)]


@contextmanager
def storage_of_kind(kind: str, folder: Path) -> Iterator[Storage]:
    """Make a storage; what S3 needs is there in `make data`."""
    if kind == "folder":
        yield LocalFileSystem(folder / "results")
    elif kind == "file URL of fsspec":  # as for any file system that has folders, such as SFTP
        yield RemoteFileSystem((folder / "results").as_uri())
    elif kind == "memory":
        yield RemoteFileSystem(f"memory://{uuid.uuid4()}/results")
    else:
        yield RemoteFileSystem(f"s3://bucket/{uuid.uuid4()}", settings=s3_server())


@cache
def s3_server() -> dict[str, object]:
    """Run a server that speaks S3, with an empty bucket named `bucket`, until the process ends; gives the settings that
    reach it."""
    import boto3  # type: ignore[import-not-found,unused-ignore]
    from moto.server import ThreadedMotoServer  # type: ignore[import-not-found,unused-ignore]

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket="bucket")
    client.close()
    return {
        "key": "test", "secret": "test", "endpoint_url": endpoint, "skip_instance_cache": True,
        "client_kwargs": {"region_name": "us-east-1"},
    }  # fmt: skip
