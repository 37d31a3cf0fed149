"""What an interrupted training goes on from is damaged."""

import pytest
import torch

from bench import resume

TENSORS = {"method.weight": torch.arange(64.0), "best.weight": torch.ones(3, 4)}


def saved_twice(folder):
    file = folder / "resume.safetensors"
    for step in (1, 2):
        resume.keep(file, {name: value * step for name, value in TENSORS.items()}, {"step": step})
    return file


@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_save_is_noticed_and_the_one_before_is_used(tenth, tmp_path, capsys):
    file = saved_twice(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * tenth // 10])
    tensors, progress = resume.last_good(file, "cpu")
    assert progress == {"step": 1}
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value), name
    said = capsys.readouterr().err
    assert "resume.safetensors is damaged" in said and said.count("\n") == 1
    # the good one is not replaced by the damaged one at the next save
    resume.keep(file, tensors, {"step": 2})
    file.write_bytes(b"")
    assert resume.last_good(file, "cpu")[1] == {"step": 1}


def test_whole_both_damaged_or_none(tmp_path, capsys):
    file = saved_twice(tmp_path)
    assert resume.last_good(file, "cpu")[1] == {"step": 2} and not capsys.readouterr().err
    for path in tmp_path.iterdir():
        path.write_bytes(b"garbage")
    assert resume.last_good(file, "cpu") is None
    assert capsys.readouterr().err.count("is damaged") == 2
    saved_twice(tmp_path)
    resume.discard(file)
    assert not list(tmp_path.iterdir()) and resume.last_good(file, "cpu") is None


def test_killed_between_two_files(tmp_path, monkeypatch):
    """The last save was moved aside, and the new one is not there yet."""
    file = saved_twice(tmp_path)

    def killed(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(resume, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        resume.keep(file, TENSORS, {"step": 3})
    assert resume.last_good(file, "cpu")[1] == {"step": 2}
