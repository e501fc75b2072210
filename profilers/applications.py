"""Reads an Application with the profiles of its services: in its own file, in files it names, or in the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from specs.application import Application, ServiceProfile, ServiceProfileSpec
from specs.errors import InputError
from specs.parsing import Lines
from specs.reading import read_document, read_documents, read_text, validate

MOST_CALLS, MOST_SERVICES = 100_000, 50_000
"""What a document may list: either is read in less than five seconds."""
_CALLEE, _NAME = re.compile(r"\bcallee\b"), re.compile(r"\bname\b")


def read_application(path: Path, store: str | None = None) -> tuple[Application, dict[str, ServiceProfileSpec]]:
    """Return the Application in the YAML file ``path`` and its services' profiles by name.

    A ServiceProfile in the same file is that of the service it names, unless the service names another. InputError
    for a document with more than 100,000 calls or 50,000 services, before it is parsed.
    """
    _refuse_too_much(path)
    documents = read_documents(path)
    application = _application(path, documents)
    beside = _profiles_beside(path, documents)
    found: dict[str, ServiceProfileSpec] = {}
    for service in application.spec.services:
        if service.profile is not None:
            found[service.name] = service_profile(service.profile, path.parent, store)
        elif service.name in beside:
            found[service.name] = beside[service.name]
    return application, found


def service_profile(reference: str, base: Path = Path(), store: str | None = None) -> ServiceProfileSpec:
    """Return the ServiceProfile at that path below ``base``, else the one whose id in the store begins so."""
    path = base / reference
    if path.exists() or path.suffix in (".yaml", ".yml"):
        return read_document(path, ServiceProfile).spec
    from profilers.store import find

    return find(reference, ServiceProfile, base=base, store=store).spec


def _application(path: Path, documents: list[tuple[dict[str, Any], Lines]]) -> Application:
    """Check the one Application among the documents; `read_document` says what is wrong where there is not one."""
    of_kind = [one for one in documents if one[0].get("kind") == "Application"]
    if len(of_kind) != 1:
        return read_document(path, Application)
    return validate(of_kind[0][0], Application, path, of_kind[0][1])


def _profiles_beside(path: Path, documents: list[tuple[dict[str, Any], Lines]]) -> dict[str, ServiceProfileSpec]:
    found: dict[str, ServiceProfileSpec] = {}
    for data, lines in documents:
        if data.get("kind") == "ServiceProfile":
            spec = validate(data, ServiceProfile, path, lines).spec
            if spec.service in found:
                raise InputError(f"{path}: two profiles of service {spec.service}", cure="Keep one.")
            found[spec.service] = spec
    return found


def _refuse_too_much(path: Path) -> None:
    """Count what a document lists in its text, because parsing it is what takes long."""
    text = read_text(path)
    calls, services = len(_CALLEE.findall(text)), len(_NAME.findall(text))
    if calls > MOST_CALLS:
        message = f"{path}: lists about {calls:,} calls; at most {MOST_CALLS:,} are read"
        cure = "Put the calls of one caller to one callee together (calls_per_request), or cut the graph in parts."
        raise InputError(message, cure=cure)
    if services > MOST_SERVICES:
        message = f"{path}: lists about {services:,} names; at most {MOST_SERVICES:,} services are read"
        raise InputError(message, cure="Cut the application in parts.")
