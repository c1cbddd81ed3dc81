"""Places for results, as `result_storage` takes them: `LocalFileSystem("/shared/results")`, `RemoteFileSystem("s3://…")`.

A path or URL alone does as well; the classes are for what it cannot say, such as an endpoint or credentials:

    RemoteFileSystem("s3://bucket/results", settings={"client_kwargs": {"endpoint_url": "https://minio:9000"}})
"""

from towpath.stores.local import LocalFileSystem
from towpath.stores.remote import RemoteFileSystem

__all__ = ["LocalFileSystem", "RemoteFileSystem"]
