"""Mean per-class recall: every class counts the same, however many images it has."""

from collections import Counter


class ClassRecall:
    """Counts of images and of right predictions, by class."""

    def __init__(self) -> None:
        self.images: Counter[int] = Counter()
        self.hits: Counter[int] = Counter()

    def add(self, number: int, hit: bool) -> None:
        """Count an image of class `number`."""
        self.images[number] += 1
        self.hits[number] += hit

    def __add__(self, other: "ClassRecall") -> "ClassRecall":
        total = ClassRecall()
        for part in (self, other):
            total.images.update(part.images)
            total.hits.update(part.hits)
        return total

    def mean(self) -> float:
        """In percent, over the classes that have images; NaN without any."""
        if not self.images:
            return float("nan")
        return 100 * sum(self.hits[number] / count for number, count in self.images.items()) / len(self.images)
