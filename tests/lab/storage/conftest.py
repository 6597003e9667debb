"""root@pam of a lab that was just reset."""

import pytest

from tests.lab.guests.api import Api
from tests.lab.process import LabProcess


@pytest.fixture
def root(lab: LabProcess) -> Api:
    return Api.root(lab)
