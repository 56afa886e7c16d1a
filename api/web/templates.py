"""The HTML pages that are made on the server: templates beside this file, filled in and sent."""

from typing import Any, Final

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.http.security_headers import page_policy

_TEMPLATES: Final = Environment(
    loader=PackageLoader("api", "web"), autoescape=True, undefined=StrictUndefined
)


def render_page(template: str, status: int, *sources: str, **values: Any) -> Response:
    """A page of a template. `sources` are more directives of its policy, as of `page_policy`."""
    html = _TEMPLATES.get_template(template).render(values)
    return Response(html, status, page_policy(html, *sources), media_type="text/html")
