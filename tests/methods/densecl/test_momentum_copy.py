import copy

import torch
from torch import nn

from solo_d2.methods.densecl.key_encoder import MomentumCopy


def make_source():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def images(seed):
    return torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_follows_and_runs_as_a_plain_copy_would():
    source = make_source()
    ours, plain = MomentumCopy(source, 0.9), copy.deepcopy(source)
    for step in range(3):
        with torch.no_grad():
            for p in source.parameters():
                p.add_(torch.randn_like(p))
            for average, live in zip(plain.parameters(), source.parameters(), strict=True):
                average.copy_(0.9 * average + 0.1 * live)
            expected = plain(images(step))
        ours.update(source)
        torch.testing.assert_close(ours(images(step)), expected)
    statistics = dict(plain.named_buffers())
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        torch.testing.assert_close(getattr(ours, name.replace(".", "/")), statistics[name])


def test_learns_nothing_by_itself():
    source = make_source()
    ours = MomentumCopy(source, 0.9)
    assert not any(p.requires_grad for p in ours.parameters())
    assert not ours(images(0).requires_grad_()).requires_grad
    assert len(list(ours.parameters())) == len(list(source.parameters()))


def test_state_and_restart():
    source = make_source()
    ours = MomentumCopy(source, 0.5)
    with torch.no_grad():
        for p in source.parameters():
            p.mul_(3)
    ours.update(source)
    other = MomentumCopy(make_source(), 0.5)
    other.load_state_dict(ours.state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.state_dict().values(), other.state_dict().values(), strict=True)
    )
    other.restart(source)
    state = {name.replace("/", "."): value for name, value in other.state_dict().items()}
    assert all(torch.equal(state[name], value) for name, value in source.state_dict().items())


def test_no_name_ends_like_one_of_the_source():
    """Detectron2 matches names of files by their ends."""
    source = make_source()
    names = list(MomentumCopy(source, 0.9).state_dict())
    assert names and not any("." in name for name in names)


def test_moves_and_copies():
    source = make_source()
    ours = copy.deepcopy(MomentumCopy(source, 0.9)).to(torch.float64)
    ours.eval()  # batch statistics all the same
    out = ours(images(0).double())
    assert out.dtype == torch.float64
    torch.testing.assert_close(out, source.double()(images(0).double()).detach())
