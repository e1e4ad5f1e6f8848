"""Pages that several tabs ask for at the same change: drawn once, whoever asks first, and given to all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

MOST = 32


class SharedPages:
    """Texts by what they were made of; while one is made, others that want the same wait for it."""

    def __init__(self) -> None:
        self._texts: OrderedDict[object, str] = OrderedDict()
        self._making: dict[object, Lock] = {}
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], str]) -> str:
        """Return the text of `key`, made now if nobody has made it; what `make` raises is raised, and not kept."""
        with self._lock:
            if key in self._texts:
                return self._texts[key]
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:
                if key in self._texts:
                    return self._texts[key]
            try:
                text = make()
                with self._lock:
                    self._texts[key] = text
                    while len(self._texts) > MOST:
                        self._texts.popitem(last=False)
                return text
            finally:
                with self._lock:
                    self._making.pop(key, None)
