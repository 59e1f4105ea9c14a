"""manage.py policy_enable POLICY ..."""

from __future__ import annotations

from retention.policy_switch import PolicySwitch


class Command(PolicySwitch):
    help = "Proposes to bring policies into force as they stand: another person approves it."
    enabled = True
