//! A small generator of numbers and words whose output never changes with a library's version.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Seeded(u64);

const SYLLABLES: [&str; 24] = [
    "al", "bor", "cen", "dra", "el", "fin", "gor", "ha", "in", "jo", "ka", "lum", "mer", "no", "or", "pal",
    "qui", "ras", "sen", "tor", "ul", "ven", "wes", "zan",
];

impl Seeded {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub(crate) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of a list; the empty text if there is none.
    pub(crate) fn one(&mut self, list: &[&'static str]) -> &'static str {
        let index = usize::try_from(self.below(list.len().max(1) as u64)).unwrap_or_default();
        list.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn word(&mut self) -> String {
        (0..2 + self.below(3)).map(|_| self.one(&SYLLABLES)).collect()
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text += &format!("{:016x}", self.number());
        }
        text.truncate(digits);
        text
    }

    pub(crate) fn uuid(&mut self) -> String {
        format!(
            "{}-{}-{}{}-{}{}-{}",
            self.hex(8),
            self.hex(4),
            self.one(&["4", "5"]),
            self.hex(3),
            self.one(&["8", "9", "a", "b"]),
            self.hex(3),
            self.hex(12),
        )
    }

    pub(crate) fn instant(&mut self) -> String {
        format!(
            "20{}-{:02}-{:02}T{:02}:{:02}:{:02}.{}Z",
            25 + self.below(6),
            1 + self.below(12),
            1 + self.below(28),
            self.below(24),
            self.below(60),
            self.below(60),
            if self.chance(30) {
                "000".to_owned()
            } else {
                format!("{:03}", self.below(1000))
            },
        )
    }

    pub(crate) fn ipv4(&mut self) -> String {
        let mut part = || self.below(256);
        format!("{}.{}.{}.{}", part(), part(), part(), part())
    }

    pub(crate) fn domain(&mut self) -> String {
        let tops = [
            "com",
            "net",
            "org",
            "info",
            "top",
            "xyz",
            "ru",
            "cn",
            "io",
            "site",
            "online",
            "shop",
            "duckdns.org",
            "de",
            "co.uk",
            "cfd",
            "sbs",
            "icu",
        ];
        let below = match self.below(4) {
            0 => format!(
                "{}.",
                self.one(&["www", "mail", "cdn", "login", "update", "api", "vpn"])
            ),
            _ => String::new(),
        };
        format!("{below}{}.{}", self.word(), self.one(&tops))
    }

    pub(crate) fn url(&mut self) -> String {
        let host = if self.chance(40) {
            self.ipv4()
        } else {
            self.domain()
        };
        let port = if self.chance(25) {
            format!(":{}", 1024 + self.below(60_000))
        } else {
            String::new()
        };
        let file = self.one(&[
            "",
            "index.php",
            "login.html",
            "bin.sh",
            "mozi.m",
            "update.exe",
            "gate.php?id=1",
            "i",
        ]);
        format!(
            "{}://{host}{port}/{}/{file}",
            self.one(&["http", "http", "https"]),
            self.word()
        )
    }
}
