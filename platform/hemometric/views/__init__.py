"""What an encoder sees of a recording in training: copies augmented on the device, segments, single leads.

A view is a pure function of (seed, epoch, recording, view): the same on whichever rank a recording lies, and after a
resume. Not for data that are prepared once: that is `waveform.prepare`.
"""

from hemometric.views.augmentations import Augmentation, Crop, LeadDropout, Noise, Scale, TimeWarp, Wander
from hemometric.views.draws import Draws
from hemometric.views.views import Augmented, Leads, Segments, Single, Views, ViewsConfig

__all__ = [
    "Augmentation",
    "Augmented",
    "Crop",
    "Draws",
    "LeadDropout",
    "Leads",
    "Noise",
    "Scale",
    "Segments",
    "Single",
    "TimeWarp",
    "Views",
    "ViewsConfig",
    "Wander",
]
