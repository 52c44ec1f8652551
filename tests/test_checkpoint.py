"""Checkpoints come back bit for bit, or are refused; what was there before always survives."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import checkpoint
from loopymeta.checkpoint import CheckpointError, load, save


class State(NamedTuple):
    weight: jax.Array
    count: int


def same(a, b):
    """Equal structure, kinds, types, shapes and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(x) is type(y)
        if hasattr(x, "dtype"):
            assert x.dtype == y.dtype and x.shape == y.shape
            assert getattr(x, "weak_type", False) == getattr(y, "weak_type", False)
            if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
                x, y = jax.random.key_data(x), jax.random.key_data(y)
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
        else:
            assert repr(x) == repr(y)


def zeros(tree):
    """A template: the same structure with other values."""

    def zero(leaf):
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            empty = jnp.zeros_like(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(empty, impl=jax.random.key_impl(leaf))
        if isinstance(leaf, np.ndarray):
            return np.zeros_like(leaf)
        return leaf * 0 if isinstance(leaf, jax.Array) else type(leaf)(0)

    return jax.tree.map(zero, tree)


def trees():
    import optax
    from evosax.algorithms import SNES

    key = jax.random.key(3)
    theta = {"rule": jnp.arange(5.0), "gain": jnp.asarray(0.25, jnp.float32)}
    adam = optax.chain(optax.clip(1.0), optax.adam(1e-2))
    adam_state = adam.init(theta)
    adam_state = adam.update(theta, adam_state, theta)[1]
    snes = SNES(population_size=4, solution=theta)
    return {
        "scalars": (1, 0.1, True, float("nan"), float("-inf"), 2**62, -0.0),
        "numpy": {"a": np.arange(6).reshape(2, 3).T, "b": np.float32(0.1), "c": np.array(2.0)},
        "empty": {"none": None, "nothing": (), "zero": np.zeros((0, 3), np.int8)},
        "bfloat16": jnp.arange(4, dtype=jnp.bfloat16) / 3,
        "small": (jnp.arange(3, dtype=jnp.float8_e4m3fn), jnp.arange(3, dtype=jnp.int4)),
        "0-d": (jnp.asarray(3), jnp.asarray(0.1), jnp.float32(0.1), jnp.full((2,), 0.5)),
        "special": jnp.asarray([jnp.nan, jnp.inf, -jnp.inf, -0.0, 1e-45]),
        "key": (key, jax.random.split(key, (2, 3)), jax.random.key(1, impl="rbg")),
        "named": State(jnp.ones((2, 2)), 7),
        "adam": adam_state,
        "snes": snes.init(key, theta, snes.default_params),
        "root": np.arange(4, dtype=np.uint16),
    }


TREES = trees()


@pytest.mark.parametrize("name", TREES)
def test_round_trip(name, tmp_path):
    tree = TREES[name]
    save(tmp_path / "c", tree, {"generation": 3})
    back, metadata = load(tmp_path / "c", zeros(tree))
    same(back, tree)
    assert metadata == {"generation": 3}
    assert os.listdir(tmp_path) == ["c"]


def test_bits_of_nan_survive(tmp_path):
    odd = np.array([0x7FC00001, 0xFFC12345], np.uint32).view(np.float32)
    save(tmp_path / "c", odd)
    assert load(tmp_path / "c", np.zeros(2, np.float32))[0].tobytes() == odd.tobytes()


def test_shapes_are_template_enough(tmp_path):
    def init(key):
        return {"key": key, "weight": jax.random.normal(key, (3,)), "step": jnp.asarray(1)}

    tree = jax.jit(init)(jax.random.key(5))
    save(tmp_path / "c", tree)
    same(load(tmp_path / "c", jax.eval_shape(init, jax.random.key(0)))[0], tree)


def test_placement_follows_the_template(tmp_path):
    place = jax.sharding.SingleDeviceSharding(jax.devices()[-1])
    tree = jax.device_put(jnp.arange(4.0), place)
    save(tmp_path / "c", tree)
    assert load(tmp_path / "c", tree)[0].sharding == place
    assert not load(tmp_path / "c", jnp.zeros(4))[0].committed


def test_numpy_leaves_can_be_written(tmp_path):
    save(tmp_path / "c", np.zeros(3))
    load(tmp_path / "c", np.zeros(3))[0][:] = 1


def test_metadata_is_json(tmp_path):
    metadata = {"loss": float("inf"), "name": "Räksmörgås", "n": np.int64(3), "x": np.float32(0.1)}
    metadata |= {"list": [1, {"a": None}], "true": True, "0-d": jnp.asarray(2)}
    save(tmp_path / "c", (), metadata)
    assert load(tmp_path / "c", ())[1] == {**metadata, "x": float(np.float32(0.1))}
    with pytest.raises(TypeError, match="metadata must be what JSON holds, got <object"):
        save(tmp_path / "c", (), {"a": object()})


@pytest.mark.parametrize("leaf", ["text", np.array(["text"]), object(), 1j, 2**70])
def test_refuses_what_cannot_be_stored(leaf, tmp_path):
    with pytest.raises(TypeError, match=r"leaf \['a'\] cannot be stored"):
        save(tmp_path / "c", {"a": leaf})
    assert os.listdir(tmp_path) == []


def test_readable_without_us(tmp_path):
    from safetensors.numpy import load_file

    save(tmp_path / "c", {"theta": np.arange(3.0)})
    np.testing.assert_array_equal(load_file(tmp_path / "c")["['theta']"], np.arange(3.0))


# ---- refusals

TREE = {"weight": np.arange(12.0).reshape(3, 4), "key": jax.random.key(1), "step": 4}


def test_refuses_every_truncation(tmp_path):
    save(tmp_path / "c", TREE, {"a": 1})
    data = (tmp_path / "c").read_bytes()
    for length in [*range(0, len(data), len(data) // 30), len(data) - 1]:
        (tmp_path / "t").write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="truncated, damaged or no checkpoint"):
            load(tmp_path / "t", TREE)
    (tmp_path / "t").write_bytes(data + b"\0")
    with pytest.raises(CheckpointError):
        load(tmp_path / "t", TREE)


def test_refuses_every_flipped_byte(tmp_path):
    save(tmp_path / "c", TREE, {"a": 1})
    data = (tmp_path / "c").read_bytes()
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 1 << (i % 8)
        (tmp_path / "t").write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load(tmp_path / "t", TREE)


def test_a_flipped_bit_in_the_arrays_is_named_so(tmp_path):
    save(tmp_path / "c", TREE)
    data = bytearray((tmp_path / "c").read_bytes())
    data[-1] ^= 1
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(CheckpointError, match="does not match its SHA-256"):
        load(tmp_path / "c", TREE)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_refuses_foreign_safetensors(metadata, tmp_path):
    from safetensors.numpy import save_file

    save_file({"['a']": np.zeros(3)}, tmp_path / "c", metadata=metadata)
    with pytest.raises(CheckpointError, match="not a checkpoint of loopymeta"):
        load(tmp_path / "c", {"a": np.zeros(3)})


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x04K\x01.", b"\xff" * 100, b"{}" * 9])
def test_refuses_foreign_files(data, tmp_path):
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(CheckpointError, match="truncated, damaged or no checkpoint"):
        load(tmp_path / "c", ())


def test_refuses_other_versions(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", "99")
        save(tmp_path / "c", ())
    with pytest.raises(CheckpointError, match="version '99'; this loopymeta reads version '1'"):
        load(tmp_path / "c", ())


@pytest.mark.parametrize("path", ["absent", "absent/c", "."])
def test_refuses_what_is_not_there(path, tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load(tmp_path / path, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.zeros((4, 3))}, r"weight.* is float64\[3, 4\], expected float64\[4, 3\]"),
        ({"weight": np.zeros((3, 4), np.float32)}, r"is float64\[3, 4\], expected float32\[3, 4\]"),
        ({"weight": jnp.zeros((3, 4))}, r"expected float32\[3, 4\]"),
        ({"step": 0.5}, r"step.* is int64\[\], expected float64\[\]"),
        ({"step": {"a": 0}}, r"\['step'\]\['a'\] is missing; \['step'\] is not expected"),
        ({"more": 0}, r"\['more'\] is missing"),
        ({"key": jax.random.key(0, impl="rbg")}, r"key<fry>\[\], expected key<rbg>\[\]"),
        ({"key": np.zeros(2, np.uint32)}, r"key<fry>\[\], expected uint32\[2\]"),
        ({"key": jax.random.split(jax.random.key(0))}, r"key<fry>\[\], expected key<fry>\[2\]"),
    ],
)
def test_refuses_other_trees(change, message, tmp_path):
    save(tmp_path / "c", TREE)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(tmp_path / "c", TREE | change)
    assert "another configuration" in str(caught.value) and str(tmp_path) in str(caught.value)


def test_refuses_a_smaller_template(tmp_path):
    save(tmp_path / "c", TREE)
    with pytest.raises(CheckpointError, match=r"\['key'\] is not expected; \['step'\] is not"):
        load(tmp_path / "c", {"weight": TREE["weight"]})


def test_double_precision_is_never_rounded_silently(tmp_path):
    """A file written under 64 bits does not load into 32."""
    save(tmp_path / "c", np.float64([0.1]))
    with pytest.raises(CheckpointError, match=r"is float64\[1\], expected float32\[1\]"):
        load(tmp_path / "c", jnp.zeros(1))


# ---- full disks


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_keeps_the_file_before(call, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    save(tmp_path / "c", TREE, {"generation": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match=r"cannot write .*c: No space .* --resume") as caught:
            save(tmp_path / "c", TREE, {"generation": 2})
    assert caught.value.errno == errno.ENOSPC
    assert load(tmp_path / "c", TREE)[1] == {"generation": 1}
    assert os.listdir(tmp_path) == ["c"]


def test_interrupt_keeps_the_file_before(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    save(tmp_path / "c", TREE, {"generation": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "c", TREE, {"generation": 2})
    assert load(tmp_path / "c", TREE)[1] == {"generation": 1}
    assert os.listdir(tmp_path) == ["c"]


LIMITED = """
import resource, sys
import numpy as np
from loopymeta.checkpoint import load, save
path = sys.argv[1]
save(path, np.zeros(1000), {"generation": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save(path, np.ones(1000), {"generation": 2})
except OSError as error:
    print(error)
assert load(path, np.zeros(1000))[1] == {"generation": 1}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no file size limit")
def test_a_write_that_the_system_cuts_short(tmp_path):
    """The system itself refuses after 4096 of 8000 bytes."""
    command = [sys.executable, "-c", LIMITED, tmp_path / "c"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout and "Free some space" in done.stdout
    assert os.listdir(tmp_path) == ["c"]


def test_equal_trees_give_equal_files(tmp_path):
    for i in range(8):
        save(tmp_path / str(i), TREE | {"more": [np.int8(3), 1.5]}, {"b": 1, "a": 2})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_header_names_everything(tmp_path):
    """The file says what it is to whoever opens it."""
    save(tmp_path / "c", TREE, {"generation": 1})
    data = (tmp_path / "c").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert header["format"] == "loopymeta-checkpoint" and header["version"] == "1"
    assert json.loads(header["leaves"]) == {"['key']": {"key": "threefry2x32"}}
    assert len(header["sha256"]) == 64


def test_no_warnings(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(tmp_path / "c", TREES["snes"])
        load(tmp_path / "c", TREES["snes"])
