"""Pages that show and never edit. What changes something has a view of its own, behind a POST."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from operations.admin.changelist import BoundedChangeList, BoundedPaginator


class ReadOnlyAdmin(ModelAdmin):
    """A list, and one page for each object drawn by `page_template`.

    Subclasses set `page_template` and give it its context in `page`.
    """

    page_template: ClassVar[str]
    page_related: ClassVar[tuple[str, ...]] = ()
    """Relations that the page follows, read with the object."""
    payload: ClassVar[tuple[str, ...]] = ()
    """Fields that no list reads: documents and long texts."""

    actions = None
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0

    def page(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        raise NotImplementedError(type(self).__name__)

    def at(self, route: str, view: type[Any], name: str) -> URLPattern:
        """For `get_urls`: a view named as Django names its own, `app_model_name`.

        The view is made with this admin as `model_admin`, and asked only by who is signed in.
        """
        shown = self.admin_site.admin_view(view.as_view(model_admin=self))
        address: URLPattern = path(
            route, shown, name=f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        )
        return address

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        return BoundedChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        if match is not None and (match.url_name or "").endswith("_changelist"):
            return found.defer(*self.payload)
        return found.select_related(*self.page_related) if self.page_related else found

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None or not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(
                request, self.opts, object_id
            )
            return gone
        return self.render_page(
            request, obj, self.page_template, {**self.page(request, obj), **(extra_context or {})}
        )

    def render_page(
        self, request: HttpRequest, obj: Model, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        """`template` inside the admin's frame, titled and with breadcrumbs by the object's name."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": obj,
                "title": str(obj),
                "has_view_permission": True,
                **context,
            },
        )
