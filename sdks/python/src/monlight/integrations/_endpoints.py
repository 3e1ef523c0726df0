"""Finds the route template of a request, as a metric label of few values.

Works on the route objects of Starlette and FastAPI by their attributes, whatever the version:
a template is read from the tree of routes rather than from the scope, because the scope names
only the innermost route, without the prefixes of mounts and included routers.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]

UNMATCHED = "(unmatched)"


@dataclass(frozen=True)
class _Node:
    """A route, or a mount with `children` (None where the mounted app's routes are unknown)."""

    template: str
    pattern: Any
    methods: frozenset[str] | None = None
    is_mount: bool = False
    children: tuple[_Node, ...] | None = None


def route_path(scope: Scope) -> str:
    """Return the path of a request below the application's root path."""
    path = str(scope.get("path", ""))
    root = str(scope.get("root_path", "")).rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path


class EndpointLabels:
    """The routes of one application, read when the first request is over and when they change."""

    def __init__(self) -> None:
        self._routes: list[Any] | None = None
        self._count = -1
        self._nodes: tuple[_Node, ...] = ()
        self._by_endpoint: dict[int, str | None] = {}
        self._kept_alive: list[Any] = []

    def label(self, app: object, scope: Scope, path: str, method: str) -> str:
        """Return the template for a request that `app` has served.

        `scope` is the scope afterwards; `path` is its `route_path` from before, because older
        versions of Starlette change it on the way.
        """
        routes = getattr(app, "routes", None)
        if not isinstance(routes, list):
            return UNMATCHED
        endpoint = scope.get("endpoint")
        unknown = endpoint is not None and id(endpoint) not in self._by_endpoint
        if self._routes != routes or (unknown and _count(routes) != self._count):
            self._read(routes)
        # An endpoint that serves one route only needs no search.
        return self._by_endpoint.get(id(endpoint)) or _find(self._nodes, path, method)

    def _read(self, routes: list[Any]) -> None:
        self._routes, self._count = list(routes), _count(routes)
        self._by_endpoint = {}
        self._kept_alive = []
        self._nodes = tuple(self._collect(routes, ""))

    def _collect(self, routes: Iterable[Any], prefix: str) -> list[_Node]:
        nodes: list[_Node] = []
        for route in routes:
            if _is_included_router(route):
                nodes += self._collect(_included_routes(route), prefix)
            elif hasattr(route, "host_regex"):
                nodes += self._collect(route.routes, prefix)
            elif _is_mount(route):
                path = prefix + route.path
                inner = getattr(route, "routes", None)
                children = tuple(self._collect(inner, path)) if inner else None
                nodes.append(_Node(path, route.path_regex, is_mount=True, children=children))
                self._remember(route.app, None)
            elif hasattr(route, "methods"):
                methods = frozenset(route.methods) if route.methods else None
                nodes.append(_Node(prefix + route.path, route.path_regex, methods))
                self._remember(route.endpoint, prefix + route.path)
        return nodes

    def _remember(self, endpoint: Any, template: str | None) -> None:
        key = id(endpoint)
        # An id names an object only as long as that object lives.
        self._kept_alive.append(endpoint)
        known = self._by_endpoint.setdefault(key, template)
        if known != template:
            self._by_endpoint[key] = None


def _is_included_router(route: Any) -> bool:
    # FastAPI keeps included routers as one route since it resolves them lazily.
    return hasattr(route, "effective_route_contexts")


def _included_routes(route: Any) -> list[Any]:
    contexts = route.effective_route_contexts()
    return [getattr(context, "starlette_route", None) or context for context in contexts]


def _is_mount(route: Any) -> bool:
    return hasattr(route, "app") and hasattr(route, "routes") and hasattr(route, "path_regex")


def _count(routes: Iterable[Any]) -> int:
    total = 0
    for route in routes:
        if _is_included_router(route):
            total += 1 + len(_included_routes(route))
        else:
            total += 1 + _count(getattr(route, "routes", None) or ())
    return total


def _find(nodes: Iterable[_Node], path: str, method: str) -> str:
    partial: str | None = None
    for node in nodes:
        match = node.pattern.match(path)
        if match is None:
            continue
        if node.is_mount:
            if node.children is None:
                return f"{node.template}/*"
            inner = _find(node.children, "/" + match.group("path"), method)
            return f"{node.template}/{UNMATCHED}" if inner == UNMATCHED else inner
        if node.methods is None or method in node.methods:
            return node.template
        partial = partial or node.template
    return partial or UNMATCHED
