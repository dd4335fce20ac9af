import pytest
import torch

from mfutils import DISTRIBUTIONS


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def board():
    return DISTRIBUTIONS["checkerboard"]


@pytest.fixture(params=list(DISTRIBUTIONS))
def dist(request):
    return DISTRIBUTIONS[request.param]
