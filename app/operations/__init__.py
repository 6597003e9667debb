"""Durable execution on DBOS. Knows steps and what is done and undone; never guests or tenants."""

from app.operations.engine import Engine
from app.operations.saga import Again, Call, Function, Later, Run, Saga, Step, Trial

__all__ = ["Again", "Call", "Engine", "Function", "Later", "Run", "Saga", "Step", "Trial"]
