"""The webhook as a part of the operator: it answers once everything is known, reads what it lacks, and counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import orjson
from prometheus_client import CollectorRegistry
from tests.builders import NAMESPACE, make_deployment, make_flow, make_flowrun
from tests.operator.admission.certificates import make_certificate
from tests.operator.admission.test_reviews import key_of, review
from tests.operator.admission.test_server import HOSTS, asking, post
from tests.operator.runtime.api_server import serving
from tests.operator.runtime.clock import real_time
from tests.operator.test_app import operating, ready

from towpath_operator.admission.metrics import AdmissionMetrics
from towpath_operator.admission.part import Admission
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Store
from towpath_operator.settings import Settings
from towpath_operator.view import INDEXES, StoreView, lean

Body = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


class Cluster:
    """The API server, as far as it is asked for single objects."""

    def __init__(self, *there: Body) -> None:
        self.there = {key_of(body): body for body in there}
        self.trouble = 404

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """Give an object, or refuse."""
        for key, body in self.there.items():
            if (key.plural, key.namespace, key.name) == (resource.plural, namespace, name):
                return body
        raise ApiError(self.trouble, "", "no")


class Part:
    """The part, what it knows, and what it has counted."""

    def __init__(self, folder: str, *there: Body, known: tuple[Body, ...] = ()) -> None:
        self.cluster, self.store, self.registry = Cluster(*there), Store(INDEXES, lean=lean), CollectorRegistry()
        self.is_listed = True
        for body in known:
            self.store.put(key_of(body).plural, body)
        self.admission = Admission(
            Settings(admission_certificate=folder, admission_port=0),
            cast("Client", self.cluster),
            self.store,
            StoreView(self.store),
            metrics=AdmissionMetrics(self.registry),
            is_listed=lambda: self.is_listed,
        )

    def counted(self, kind: str, answer: str) -> float | None:
        """Give how often was answered so."""
        labels = {"kind": kind, "answer": answer}
        return self.registry.get_sample_value("towpath_admission_reviews_total", labels)


def wanted(**parameters: Any) -> Body:
    """Ask for a run with parameters."""
    return review(make_flowrun(parameters=parameters))


@real_time
async def test_answers_are_given_once_everything_is_known_and_counted(tmp_path: Path) -> None:
    """Before that, what is not known yet would pass for missing: the API server goes on without an answer."""
    trusted = make_certificate(tmp_path, *HOSTS)
    flow = make_flow(spec={"parameters": SCHEMA})
    part = Part(str(tmp_path), flow, known=(flow,))
    async with part.admission.served(), asking(part.admission.port, trusted) as session:
        part.is_listed = False
        status, said = await post(session, orjson.dumps(wanted(x="many")))
        assert (status, "does not know everything yet" in said) == (503, True)
        part.is_listed = True
        for question, allowed in ((wanted(x=1), True), (wanted(x="many"), False)):
            status, said = await post(session, orjson.dumps(question))
            assert (status, orjson.loads(said)["response"]["allowed"]) == (200, allowed)
        status, said = await post(session, orjson.dumps(review(make_deployment(spec={"queue": "nobody"}))))
        assert orjson.loads(said)["response"]["warnings"] == ["There is no Queue 'nobody' yet."]
    assert [part.counted("FlowRun", answer) for answer in ("unanswered", "accepted", "refused")] == [1, 1, 1]
    assert part.counted("Deployment", "warned") == 1


@real_time
async def test_what_is_looked_up_again_is_known_afterwards(tmp_path: Path) -> None:
    """An object that is there is put into the store, one that has gone is dropped; other trouble is no answer."""
    trusted = make_certificate(tmp_path, *HOSTS)
    strict, lenient = make_flow(spec={"parameters": SCHEMA}), make_flow(resource_version="2")
    part = Part(str(tmp_path), lenient, known=(strict,))
    async with part.admission.served(), asking(part.admission.port, trusted) as session:

        async def answer() -> tuple[int, str]:
            return await post(session, orjson.dumps(wanted(x="many")))

        status, said = await answer()
        assert (status, orjson.loads(said)["response"]) == (200, {"uid": "asked", "allowed": True})
        assert part.store.get(*key_of(strict)) is not None
        part.store.put("flows", make_flow(spec={"parameters": SCHEMA}, resource_version="3"))
        part.cluster.there = {}
        status, said = await answer()
        assert "There is no Flow" in orjson.loads(said)["response"]["warnings"][0]
        assert part.store.get(*key_of(strict)) is None
        part.cluster.trouble = 500
        assert (await answer())[0] == 503


@real_time
async def test_who_stands_by_answers_too(tmp_path: Path) -> None:
    """The Service leads to any replica, and none but one holds the Lease."""
    trusted = make_certificate(tmp_path, *HOSTS)
    held = {"holderIdentity": "first", "leaseDurationSeconds": 3600}
    settings = Settings(
        listen_port=0, workers=2, lease=f"{NAMESPACE}/lease", identity="second",
        admission_certificate=str(tmp_path), admission_port=0,
    )  # fmt: skip
    async with serving() as server:
        server.put("leases", {"kind": "Lease", "metadata": {"namespace": NAMESPACE, "name": "lease"}, "spec": held})
        server.put("flows", make_flow(spec={"parameters": SCHEMA}))
        async with operating(server, settings) as operator:
            await ready(operator)
            async with asking(operator.admission.port, trusted) as session:
                status, said = await post(session, orjson.dumps(wanted(x="many")))
    assert (status, orjson.loads(said)["response"]["allowed"]) == (200, False)


@real_time
async def test_without_a_certificate_folder_there_is_no_webhook() -> None:
    """Switched off, it listens nowhere."""
    part = Part("")
    async with part.admission.served():
        assert part.admission.port == 0
