"""Rights, webhook and configuration are what they were, unless somebody meant it."""

import unittest

from chart import PROFILES
from golden import FOLDER, file, rendered


class Golden(unittest.TestCase):
    maxDiff = None

    def test_profiles(self):
        """Guarantees: what every profile renders is what is kept; `python tests/chart/golden.py` keeps it anew."""
        for profile in PROFILES:
            with self.subTest(profile.name):
                self.assertTrue(file(profile).exists(), "python tests/chart/golden.py")
                self.assertEqual(rendered(profile), file(profile).read_text(), "python tests/chart/golden.py")
        self.assertEqual({one.name for one in FOLDER.iterdir()}, {file(profile).name for profile in PROFILES})


if __name__ == "__main__":
    unittest.main()
