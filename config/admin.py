"""People who sign in to the console, and their groups. Roles are groups made by a migration."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from operations.admin.show import badge, joined
from operations.roles import ROLES

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class ConsoleUserAdmin(UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "roles", "is_active")
    list_filter = ("is_active", "groups")
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return found
        # Who only looks need not see how a password is kept.
        first, *others = found
        fields = tuple(name for name in first[1]["fields"] if name != "password")
        return [(first[0], {**first[1], "fields": fields}), *others]

    @admin.display(description="Name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @admin.display(description="Roles")
    def roles(self, user: User) -> SafeString | str:
        names = [ROLES.get(group.name, group.name) for group in user.groups.all()]
        if user.is_superuser:
            names.insert(0, "Everything")
        return joined([badge(name) for name in names]) if names else "–"


@admin.register(Group)
class ConsoleGroupAdmin(GroupAdmin, ModelAdmin):
    list_display = ("name", "role")
    search_fields: ClassVar = ["name"]

    @admin.display(description="Role")
    def role(self, group: Group) -> str:
        return ROLES.get(group.name, "made here")
