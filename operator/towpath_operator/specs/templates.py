"""Pod templates as flows, deployments and runs bring them: what they may say, and how they are merged.

A template is the author's word on a pod that the operator creates, with the operator's rights. So it may ask for
nothing that reaches out of the pod into the node, and it may not take the flow's container out of Towpath's hands.
Everything else is merged over the default pod, and left to the API server to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from towpath import names

Json = dict[str, Any]

CREDENTIALS_VOLUME: Final = "towpath-credentials"
#: Environment that tells the flow's process what to run; a template that changed it would run something else.
RESERVED_ENV: Final = frozenset(value for key, value in vars(names).items() if key.startswith("ENV_"))

#: Lists that are merged item by item, and the field that tells items apart. All other lists replace each other.
_ITEM_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
}
#: Of these, lists whose items are merged field by field; an item of another replaces its namesake, so that, for
#: example, a volume never ends up with two sources.
_DEEP: Final = frozenset({"containers", "initContainers"})

#: Fields that the default pod needs; null, which removes any other field, is refused for them.
_NEEDED: Final = frozenset(
    {"metadata", "spec", "containers", "volumes", "env", "volumeMounts", "image", "restartPolicy"}
)

#: A child has its own image and needs its own amount of memory.
_OWN_OF_A_RUN: Final = frozenset({"image", "resources"})

_NODE = "a run's pod may not reach into its node"
_TAKE_OUT = "Take it out of the template."


class InvalidTemplate(ValueError):
    """A template asks for what it may not have, or is of a shape that cannot be merged; the message says where."""


def merged(base: Json, templates: Sequence[Mapping[str, Any]]) -> Json:
    """Merge templates over a pod template, later ones over earlier; a field set to null is removed.

    Raises:
        InvalidTemplate: the first thing wrong with any of them.
    """
    result = base
    for template in templates:
        check(template)
        result = _merge(result, template)
    return result


def handed_down(templates: Sequence[Mapping[str, Any]]) -> Json:
    """Merge the templates of a run into the one that its children inherit: all but what the container needs for itself.

    Raises:
        InvalidTemplate: the first thing wrong with any of them.
    """
    result = merged({}, templates)
    containers = result.get("spec", {}).get("containers", ())
    kept = [{key: value for key, value in each.items() if key not in _OWN_OF_A_RUN} for each in containers]
    if containers:
        result["spec"] = result["spec"] | {"containers": [each for each in kept if len(each) > 1]}
        if not result["spec"]["containers"]:
            del result["spec"]["containers"]
    return {key: value for key, value in result.items() if value}


def check(template: Any) -> None:
    """Make sure that a template may be merged.

    Raises:
        InvalidTemplate: with the path of the first thing wrong, its value, and what to do.
    """
    template = _object(template, "template")
    _needed(template, "template")
    _only(template, "template", {"metadata", "spec"})
    metadata = _object(template.get("metadata"), "template.metadata")
    _only(metadata, "template.metadata", {"labels", "annotations"})
    for field in metadata:
        path = f"template.metadata.{field}"
        for key, value in _object(metadata[field], path).items():
            if not isinstance(value, str | None):
                raise InvalidTemplate(f"{path}[{key}]={value!r} is not a text. Put it in quotes.")
    _check_spec(_object(template.get("spec"), "template.spec"))


def _check_spec(spec: Mapping[str, Any]) -> None:
    at = "template.spec"
    _needed(spec, at)
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        _refuse(spec, at, field, lambda value: value is not False, _NODE)
    _refuse(spec, at, "restartPolicy", lambda value: value != "Never", "an attempt is one pod that runs once")
    _refuse(spec, at, "ephemeralContainers", bool, "only a running pod takes them")
    _check_pod_security(_object(spec.get("securityContext"), f"{at}.securityContext"), f"{at}.securityContext")
    for item, path in _items(spec, at, "volumes"):
        _refuse(item, path, "hostPath", lambda _: True, _NODE)
        if item["name"] == CREDENTIALS_VOLUME:
            raise InvalidTemplate(f"{path} is Towpath's own volume. Give yours another name.")
    for item, path in _items(spec, at, "initContainers"):
        if item["name"] == names.CONTAINER:
            raise InvalidTemplate(f"{path} has the name of the flow's container. Give it another name.")
        _check_container(item, path)
    for item, path in _items(spec, at, "containers"):
        if item["name"] != names.CONTAINER:
            raise InvalidTemplate(
                f"{path} would keep the pod alive after the flow has ended; the only container is"
                f" {names.CONTAINER!r}. Make it a sidecar: an item of initContainers with restartPolicy: Always."
            )
        _check_container(item, path)
        _check_flow_container(item, path)
    _items_of_other_lists(spec, at)


def _check_container(container: Mapping[str, Any], at: str) -> None:
    path = f"{at}.securityContext"
    security = _object(container.get("securityContext"), path)
    _refuse(security, path, "privileged", lambda value: value is not False, _NODE)
    _refuse(security, path, "allowPrivilegeEscalation", lambda value: value is not False, "a run gains no privileges")
    _refuse(security, path, "procMount", lambda value: value != "Default", _NODE)
    _check_pod_security(security, path)
    capabilities = _object(security.get("capabilities"), f"{path}.capabilities")
    _refuse(capabilities, f"{path}.capabilities", "add", bool, "a run gains no privileges")
    for port, port_path in _items(container, at, "ports"):
        _refuse(port, port_path, "hostPort", bool, _NODE)
    _items_of_other_lists(container, at)


def _check_pod_security(security: Mapping[str, Any], at: str) -> None:
    windows = _object(security.get("windowsOptions"), f"{at}.windowsOptions")
    _refuse(windows, f"{at}.windowsOptions", "hostProcess", lambda value: value is not False, _NODE)


def _check_flow_container(container: Mapping[str, Any], at: str) -> None:
    _needed(container, at)
    _refuse(container, at, "image", lambda value: not isinstance(value, str) or not value, "an image has a name")
    for field in ("command", "args"):
        _refuse(container, at, field, lambda _: True, "the flow says what runs, with entrypoint or command")
    for field in ("terminationMessagePath", "terminationMessagePolicy"):
        _refuse(container, at, field, lambda _: True, "Towpath reads there how the run ended")
    for item, path in _items(container, at, "env"):
        if item["name"] in RESERVED_ENV:
            raise InvalidTemplate(f"{path} is set by Towpath. {_TAKE_OUT}")
    for item, path in _items(container, at, "volumeMounts"):
        if str(item["mountPath"]).rstrip("/") == names.CREDENTIALS_DIR:
            raise InvalidTemplate(f"{path} is where Towpath's credentials are. Mount it elsewhere.")


def _items_of_other_lists(parent: Mapping[str, Any], at: str) -> None:
    """Make sure that every list that is merged by item has items that can be told apart."""
    for field in _ITEM_KEYS:
        for _ in _items(parent, at, field):
            pass


def _items(parent: Mapping[str, Any], at: str, field: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Give the items of a list that is merged by item, each with its path."""
    found, key = parent.get(field), _ITEM_KEYS[field]
    if found is None:
        return
    if not isinstance(found, list | tuple):
        raise InvalidTemplate(f"{at}.{field}={found!r} is not a list. Write it as the pod spec has it.")
    for index, item in enumerate(found):
        if not isinstance(item, Mapping) or not isinstance(item.get(key), str | int):
            raise InvalidTemplate(f"{at}.{field}[{index}]={item!r} has no {key}, by which it could be merged. Add one.")
        yield item, f"{at}.{field}[{item[key]}]"


def _refuse(parent: Mapping[str, Any], at: str, field: str, wrong: Callable[[Any], bool], why: str) -> None:
    value = parent.get(field)
    if value is not None and wrong(value):
        raise InvalidTemplate(f"{at}.{field}={value!r} is not allowed: {why}. {_TAKE_OUT}")


def _needed(parent: Mapping[str, Any], at: str) -> None:
    for field in _NEEDED:
        if field in parent and parent[field] is None:
            raise InvalidTemplate(f"{at}.{field} cannot be removed by null. {_TAKE_OUT}")


def _object(value: Any, at: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidTemplate(f"{at}={value!r} is not an object. Write it as the pod template has it.")
    return value


def _only(value: Mapping[str, Any], at: str, known: set[str]) -> None:
    for key in value:
        if key not in known:
            raise InvalidTemplate(f"{at}.{key} is not known: a template has {' and '.join(sorted(known))}. {_TAKE_OUT}")


def _merge(base: Any, over: Mapping[str, Any]) -> Json:
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if value is None:
            result.pop(key, None)
        elif key in _ITEM_KEYS and isinstance(value, list | tuple):
            result[key] = _merge_items(before or (), value, _ITEM_KEYS[key], deep=key in _DEEP)
        elif isinstance(value, Mapping):
            result[key] = _merge(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _merge_items(base: Sequence[Json], over: Sequence[Json], key: str, *, deep: bool) -> list[Json]:
    result = {item[key]: item for item in base}
    for item in over:
        result[item[key]] = _merge(result.get(item[key], {}), item) if deep else dict(item)
    return list(result.values())
