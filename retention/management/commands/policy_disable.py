"""manage.py policy_disable POLICY ..."""

from __future__ import annotations

from retention.policy_switch import PolicySwitch


class Command(PolicySwitch):
    help = "Takes policies out of force, at once: no purge touches their rows until they are back."
    enabled = False
