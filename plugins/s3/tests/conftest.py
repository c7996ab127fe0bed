import pytest
from host import Host, cloud  # noqa: F401


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path, "s3")
