import pytest
import torch

from solo_d2.methods.densecl.key_encoder import KeyQueue
from solo_d2.utils.errors import InputError


def test_oldest_keys_make_room():
    queue, expected, place = KeyQueue(5, 2), None, 0
    expected = queue.keys.clone()
    for number, count in enumerate((2, 2, 3, 5, 1)):
        keys = torch.full((count, 2), float(number)) + torch.arange(count)[:, None] / 10
        queue.push(keys)
        for key in keys:
            expected[place % 5] = key
            place += 1
        assert torch.equal(queue.keys, expected)
        assert queue.cursor.item() == place % 5


def test_starts_full_of_the_same_directions_everywhere():
    torch.manual_seed(1)
    first = KeyQueue(64, 8)
    torch.manual_seed(2)
    second = KeyQueue(64, 8)
    assert torch.equal(first.keys, second.keys)
    torch.testing.assert_close(first.keys.norm(dim=1), torch.ones(64))


def test_goes_on_from_a_checkpoint():
    queue, again = KeyQueue(5, 2), KeyQueue(5, 2)
    queue.push(torch.ones(3, 2))
    again.load_state_dict(queue.state_dict())
    for q in (queue, again):
        q.push(torch.zeros(3, 2, dtype=torch.bfloat16))
    assert torch.equal(queue.keys, again.keys) and torch.equal(queue.cursor, again.cursor)
    assert queue.keys.dtype == torch.float32


def test_batch_larger_than_the_queue():
    with pytest.raises(InputError, match="queue_size 4 is smaller than a batch of 5"):
        KeyQueue(4, 2).push(torch.zeros(5, 2))
