"""What a data set has to be able to do: say how many records it has, and give each by its number."""

from typing import Protocol, TypeVar

Record_co = TypeVar("Record_co", covariant=True)


class Records(Protocol[Record_co]):
    """A list of records or what reads them when asked for; numbers go from 0 to len - 1."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record_co: ...
