"""Schedules: at what times of day beat starts the jobs of the console."""

from __future__ import annotations

from typing import Any, ClassVar

from cron_descriptor import CasingTypeEnum, Options, get_description
from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django_celery_beat import admin as theirs
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from operations.admin.base import ReadOnlyAdmin
from operations.admin.confirm import ConfirmView, ReasonForm
from operations.admin.show import Fact, badge, code, lines, when
from operations.models import ScheduledJob
from operations.selectors.schedules import next_time
from operations.services.schedules import schedule_change, schedule_start

# A job has one time of day. Other kinds of schedules, and rows without a job, are of no use here.
assert theirs, "it has registered its own pages by now"
for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(_model)

# Titles and breadcrumbs say what the menu says.
PeriodicTask._meta.app_config.verbose_name = "Schedules"
PeriodicTask._meta.verbose_name = "schedule"
PeriodicTask._meta.verbose_name_plural = "schedules"

_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_SHOWN = 10


class ScheduleForm(ReasonForm):
    """When a job starts, and whether it does at all."""

    enabled = forms.BooleanField(
        label="Switched on", required=False, widget=UnfoldBooleanSwitchWidget
    )
    hour = forms.CharField(
        help_text="0 to 23. Several: 3,15. Every two hours: */2. Every hour: *",
        widget=UnfoldAdminTextInputWidget,
    )
    minute = forms.CharField(help_text="0 to 59", widget=UnfoldAdminTextInputWidget)
    day_of_week = forms.CharField(
        initial="*",
        help_text="* is every day; 0 is Sunday: 1-5 or mon-fri",
        widget=UnfoldAdminTextInputWidget,
    )
    day_of_month = forms.CharField(
        initial="*", help_text="* is every day; 1 is the first", widget=UnfoldAdminTextInputWidget
    )
    month_of_year = forms.CharField(
        label="Month", initial="*", help_text="* is every month", widget=UnfoldAdminTextInputWidget
    )
    timezone = forms.ChoiceField(label="Time zone", widget=UnfoldAdminSelectWidget)
    field_order = ("enabled", "hour", "minute", "day_of_week", "day_of_month", "month_of_year",
                   "timezone", "reason")  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = CrontabSchedule._meta.get_field("timezone").choices
        zones = self.fields["timezone"]
        assert isinstance(zones, forms.ChoiceField)
        zones.choices = [(str(zone), name) for zone, name in known]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            times = {name: given[name].replace(" ", "") for name in _FIELDS}
            self.times = CrontabSchedule(**times, timezone=given["timezone"])
            self._check()
        return given

    def _check(self) -> None:
        try:
            self.times.clean_fields()
            # `30 2 31 2 *` is well formed and never comes.
            self.times.schedule.remaining_estimate(self.times.schedule.now())
        except ValidationError as error:
            for field, said in error.message_dict.items():
                self.add_error(field if field in self.fields else None, said)
        except (ValueError, RuntimeError):
            self.add_error(None, "There is no such time: it would never come.")


@admin.register(PeriodicTask)
class ScheduleAdmin(ReadOnlyAdmin):
    page_template = "operations/schedule.html"
    page_related = ("crontab",)
    list_display = ("job", "times", "next_start", "last_start")
    list_select_related: ClassVar = ["crontab"]
    search_fields = ("name", "task", "description")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        started = ScheduledJob.objects.filter(name=OuterRef("task")).values("last_started_at")[:1]
        found: QuerySet[PeriodicTask] = super().get_queryset(request)
        timed: QuerySet[PeriodicTask] = found.filter(crontab__isnull=False)
        annotated: QuerySet[PeriodicTask] = timed.annotate(started=Subquery(started))
        return annotated

    @admin.display(description="Job", ordering="name")
    def job(self, task: PeriodicTask) -> SafeString:
        return lines(title(task), task.description)

    @admin.display(description="Starts")
    def times(self, task: PeriodicTask) -> SafeString | str:
        return lines(times_text(task.crontab), str(task.crontab.timezone))

    @admin.display(description="Next")
    def next_start(self, task: PeriodicTask) -> SafeString | str:
        return _next(task)

    @admin.display(description="Last start")
    def last_start(self, task: Any) -> SafeString | str:
        return when(task.started, empty="never")

    def page(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        entries = LogEntry.objects.filter(
            content_type__app_label="django_celery_beat", object_id=str(obj.pk)
        )
        return {
            "title": title(obj),
            "original": title(obj),
            "task": obj,
            "badges": [badge("On", "success") if obj.enabled else badge("Off", "warning")],
            "facts": [
                Fact("Starts", times_text(obj.crontab), f"time zone {obj.crontab.timezone}"),
                Fact("Next", _next(obj)),
                Fact("Last start", when(obj.started, empty="never")),
                Fact("Task", code(obj.task)),
                Fact("By SQL", code(f"SELECT custody.job_request('{obj.task}')")),
            ],
            "entries": [
                (entry, when(entry.action_time))
                for entry in entries.select_related("user")[:_SHOWN]
            ],
            "may_change": request.user.has_perm("django_celery_beat.change_periodictask"),
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "<int:pk>/time/",
                view(ScheduleChangeView.as_view(model_admin=self)),
                name="django_celery_beat_periodictask_time",
            ),
            path(
                "<int:pk>/start/",
                view(ScheduleStartView.as_view(model_admin=self)),
                name="django_celery_beat_periodictask_start",
            ),
            *super().get_urls(),
        ]


class _ScheduleView(ConfirmView):
    def has_permission(self) -> bool:
        return self.request.user.has_perm("django_celery_beat.change_periodictask")

    def find(self) -> PeriodicTask | None:
        found: QuerySet[PeriodicTask] = self.model_admin.get_queryset(self.request)
        return found.select_related("crontab").filter(pk=self.kwargs["pk"]).first()

    def back(self) -> str:
        return reverse("admin:django_celery_beat_periodictask_change", args=[self.kwargs["pk"]])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.title = f"{self.button}: {title(self.object)}"
        context = super().get_context_data(
            **kwargs,
            facts_title="As it is now",
            facts=[
                Fact("Job", self.object.description),
                Fact("Starts", times_text(self.object.crontab), str(self.object.crontab.timezone)),
                Fact("Next", _next(self.object)),
            ],
            hidden={},
        )
        return {**context, "original": title(self.object)}


class ScheduleChangeView(_ScheduleView):
    form_class = ScheduleForm
    button = "Change the time"
    consequence = (
        "Beat takes the new time over within seconds. A time that is past is not caught up."
    )

    def get_initial(self) -> dict[str, Any]:
        times = self.object.crontab
        given = {name: getattr(times, name) for name in _FIELDS}
        return {**given, "timezone": str(times.timezone), "enabled": self.object.enabled}

    def form_valid(self, form: forms.Form) -> HttpResponse:
        assert isinstance(form, ScheduleForm)
        self.given = form
        return super().form_valid(form)

    def act(self, reason: str) -> str:
        schedule_change(
            task=self.object,
            times=self.given.times,
            enabled=self.given.cleaned_data["enabled"],
            actor=self.person,
            reason=reason,
        )
        if not self.object.enabled:
            return f"{title(self.object)} is switched off."
        return f"{title(self.object)} starts {_lowered(times_text(self.object.crontab))}."


class ScheduleStartView(_ScheduleView):
    button = "Start now"
    consequence = "A worker starts it within seconds, beside its times of day."

    def act(self, reason: str) -> str:
        schedule_start(task=self.object, actor=self.person, reason=reason)
        return f"{title(self.object)} was asked for."


def title(task: PeriodicTask) -> str:
    """`Purge nightly`."""
    name: str = task.name
    return name.replace("-", " ").replace("_", " ").capitalize()


def times_text(times: CrontabSchedule) -> str:
    """`At 03:00`, `At 04:30, only on Sunday`."""
    options = Options()
    options.use_24hour_time_format = True
    options.casing_type = CasingTypeEnum.Sentence
    days = f"{times.day_of_month} {times.month_of_year} {times.day_of_week}"
    expression = f"{times.minute} {times.hour} {days}"
    text: str = get_description(expression, options)
    return text


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _next(task: PeriodicTask) -> SafeString | str:
    if not task.enabled:
        return badge("Off", "warning")
    schedule = task.crontab.schedule
    return when(next_time(schedule, after=schedule.now()))
