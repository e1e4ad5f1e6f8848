"""Tests; the package exists for the helpers that several of its folders share."""
