"""Storages of each kind for the contract suite, and a real server that speaks S3 where one is installed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from towpath.filesystems import LocalFileSystem, RemoteFileSystem
from towpath.stores import Storage

KINDS = ["folder", "file URL of fsspec", "memory", "S3"]


@contextmanager
def storage_of_kind(kind: str, folder: Path) -> Iterator[Storage]:
    """Make a storage; skips if what it needs is not installed (`make data` has everything)."""
    if kind == "folder":
        yield LocalFileSystem(folder / "results")
        return
    pytest.importorskip("fsspec")
    if kind == "file URL of fsspec":  # as for any file system that has folders, such as SFTP
        yield RemoteFileSystem((folder / "results").as_uri())
    elif kind == "memory":
        yield RemoteFileSystem(f"memory://{uuid.uuid4()}/results")
    else:
        with s3_server() as settings:
            yield RemoteFileSystem(
                f"s3://bucket/{uuid.uuid4()}", settings=settings
            )  # servers in one process share what they keep


@contextmanager
def s3_server() -> Iterator[dict[str, object]]:
    """Run a server that speaks S3, with an empty bucket named `bucket`; gives the settings that reach it."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    import boto3  # type: ignore[import-not-found,unused-ignore]

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    try:
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="bucket")
        client.close()
        yield {
            "key": "test", "secret": "test", "endpoint_url": endpoint, "skip_instance_cache": True,
            "client_kwargs": {"region_name": "us-east-1"},
        }  # fmt: skip
    finally:
        server.stop()
