"""Search over settings, nested and honest: trials see inner years only, outer years judge what was found."""
