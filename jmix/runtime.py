"""Precision, device and compilation cache: the only module that touches JAX's configuration.

jmix never changes a global JAX flag for its host program. Every call into JAX goes through a ``Program``, which
switches float64 on
for the duration of the call and, while it compiles, points JAX's persistent cache at a folder of the user's.
Set the environment variable ``JMIX_CACHE_DIR`` to choose the folder, or to ``off`` to compile without one; a cache
that the user has configured in JAX is left alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax

_OFF = {"off", "0", "none", "no", "false"}
_compile_lock = threading.RLock()


def cache_dir() -> Path | None:
    """Folder of the persistent compilation cache, or None when it is turned off."""
    setting = os.environ.get("JMIX_CACHE_DIR", "").strip()
    if setting.lower() in _OFF and setting:
        return None
    if setting:
        return Path(setting).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "jmix" / "xla"


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Double precision for the enclosed JAX code, whatever the host program's setting."""
    import jax

    with jax.enable_x64(True):
        yield


@contextlib.contextmanager
def _persistent_cache() -> Iterator[None]:
    """Point JAX's persistent cache at the user's folder while a program compiles, then restore every setting."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    config: Any = jax.config
    folder = cache_dir()
    if folder is None or config.jax_compilation_cache_dir is not None or not _writable(folder):
        yield
        return
    wanted = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    with _compile_lock:
        before = {name: getattr(config, name) for name in wanted}
        try:
            for name, value in wanted.items():
                config.update(name, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for name, value in before.items():
                config.update(name, value)
            compilation_cache.reset_cache()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


ROOM = 0.6
"""Share of the memory mappings that a process may have at which compiled programs are dropped."""


def _crowded() -> bool:
    """Whether the process nears its limit of memory mappings, beyond which XLA aborts it; a program takes hundreds."""
    try:
        limit = int(Path("/proc/sys/vm/max_map_count").read_text())
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps) > ROOM * limit
    except (OSError, ValueError):
        return False


_PROGRAMS: weakref.WeakSet[Program] = weakref.WeakSet()


class Program:
    """A jitted function: double precision always, the persistent cache while it compiles.

    Args:
        function: a pure JAX function of arrays and pytrees.
        static: names of the arguments that select a program rather than feed it.
    """

    def __init__(self, function: Callable[..., Any], static: tuple[str, ...] = ()) -> None:
        self._function = function
        self._static = static
        self._jitted: Any = None
        self._seen: set[Any] = set()
        _PROGRAMS.add(self)

    def clear(self) -> None:
        """Drop what was compiled; the next call compiles anew, or loads from the cache."""
        self._seen.clear()
        if self._jitted is not None:
            self._jitted.clear_cache()

    def __call__(self, *args: Any, **static: Any) -> Any:
        """Run on the default device; returns device arrays."""
        import jax

        config: Any = jax.config
        if self._jitted is None:
            self._jitted = jax.jit(self._function, static_argnames=self._static)
        with jax.enable_x64(True):
            key = (_signature(args), tuple(sorted(static.items())), config.jax_default_device)
            if key in self._seen:
                return self._jitted(*args, **static)
            if _crowded():
                for program in list(_PROGRAMS):
                    program.clear()
            with _persistent_cache():
                out = self._jitted(*args, **static)
            self._seen.add(key)
            return out


def _signature(args: tuple[Any, ...]) -> Any:
    import jax

    leaves, tree = jax.tree_util.tree_flatten(args)
    return tree, tuple((leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else type(leaf) for leaf in leaves)


def put(tree: Any) -> Any:
    """A pytree of NumPy arrays on the default device, float64 kept."""
    import jax

    with jax.enable_x64(True):
        return jax.device_put(tree)


def default_device() -> jax.Device:
    """The device on which jmix computes."""
    import jax

    config: Any = jax.config
    device = config.jax_default_device
    return device if isinstance(device, jax.Device) else jax.devices()[0]


def devices() -> list[jax.Device]:
    """The devices over which work may be spread: all of the default kind, or the one that the user has chosen."""
    import jax

    config: Any = jax.config
    one = default_device()
    return [one] if config.jax_default_device is not None else jax.local_devices(backend=one.platform)
