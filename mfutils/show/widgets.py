"""Sliders over figures, and a place to bring data of one's own."""

from .own_data import OwnData
from .sliders import (
    case_panel,
    chord_slider,
    comparison_panel,
    error_slider,
    euler_slider,
    field_slider,
    image_panel,
    journey_slider,
    noise_slider,
    steps_slider,
    swing_slider,
)

__all__ = ["OwnData", "case_panel", "chord_slider", "comparison_panel", "error_slider", "euler_slider", "field_slider",
           "image_panel", "journey_slider", "noise_slider", "steps_slider", "swing_slider"]
