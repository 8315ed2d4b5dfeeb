"""What repeats is read once, within a bound of memory."""

from foretell.assets.readers.fast import memo


def test_equal_keys_are_read_once_and_too_many_are_forgotten(monkeypatch):
    monkeypatch.setattr(memo, "MAX_BYTES", 5_000)
    asked = []

    def read(argument):
        asked.append(argument)
        return -argument

    known = memo.Memo(read, size=lambda key: 1)
    assert known.all(["a", "b", "a"], [1, 2, 1]) == [-1, -2, -1]
    assert known.all(["b", "a"], [2, 1]) == [-2, -1]
    assert asked == [1, 2]
    keys = list(range(20))
    assert known.all(keys, keys) == [-key for key in keys]
    assert known.all(["a"], [1]) == [-1]
    assert asked.count(1) == 3  # once as a key of its own, and again after it was forgotten
