"""Users, members and log-ins on a database of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.db.models import AuditEntry, Cluster
from app.db.session import Database
from app.domain.access import Context, TenantRole, UserRole
from app.domain.tenants import LogIn, User
from app.services.auth import Auth
from app.services.members import Members
from app.services.users import Users
from tests.db import records

ADDRESS = "192.0.2.7"
ADMIN_PASSWORD = "correct horse battery"
PASSWORD = "a long enough password"


@dataclass(frozen=True)
class Access:
    """The three services of identity, and short ways to people and tenants."""

    db: Database
    auth: Auth
    users: Users
    members: Members

    def log_in(self, username: str, password: str = PASSWORD) -> LogIn:
        return self.auth.log_in(username, password, address=ADDRESS)

    def context(self, log_in: LogIn) -> Context:
        """The next request of this log-in."""
        return self.auth.authenticate(log_in.session, request_id="request-1", address=ADDRESS)

    def calls(self, username: str, password: str = PASSWORD) -> Context:
        return self.context(self.log_in(username, password))

    @property
    def admin(self) -> Context:
        self.auth.ensure_first_admin(ADMIN_PASSWORD)
        return self.calls("admin", ADMIN_PASSWORD)

    def add(self, username: str, role: UserRole = UserRole.USER, *, by: Context | None = None) -> User:
        return self.users.create(by or self.admin, username, PASSWORD, role)[0]

    def tenant(self, name: str = "physics", **members: TenantRole) -> str:
        """A tenant with these users (made here) as members; its id."""
        admin = self.admin
        with self.db.begin() as tx:
            cluster = tx.scalars(sa.select(Cluster)).first() or records.cluster(tx)
            tenant = records.tenant(tx, cluster, name)
        for username, role in members.items():
            self.add(username, by=admin)
            self.members.add(admin, tenant.id, username, role)
        return tenant.id

    def audit(self) -> Sequence[AuditEntry]:
        with self.db.read() as tx:
            return tx.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()


@pytest.fixture
def access(database: Database) -> Access:
    return Access(
        database, Auth(database, refresh_lifetime=timedelta(days=14)), Users(database), Members(database)
    )  # fmt: skip
