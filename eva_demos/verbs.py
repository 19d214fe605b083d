"""The demos in the table of commands."""

from eva_engine.tasks import DEMOS, Verb

VERBS = {
    "demo-detection": Verb("cells in microscope images", "eva_demos.detection.demo", DEMOS),
    "demo-classification": Verb("handwritten digits", "eva_demos.classification.demo", DEMOS),
    "demo-clip": Verb("digits found by captions", "eva_demos.clip.demo", DEMOS),
    "demo-video": Verb("direction and speed of playback", "eva_demos.video.demo", DEMOS),
    "demo-segmentation": Verb("nuclei and bacteria, pixel by pixel", "eva_demos.segmentation.demo", DEMOS),
}
