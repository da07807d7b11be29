//! Exchanges of other implementations with their cards: numbers only, each with its source.

/// One exchange that pySim's tests print, at one level, of one key length.
pub(super) struct Published {
    pub(super) key_bytes: usize,
    pub(super) level: u8,
    pub(super) host_challenge: &'static str,
    pub(super) initialize_update: &'static str,
    pub(super) external_authenticate: &'static str,
    pub(super) get_eid: &'static str,
    pub(super) get_eid_answer: &'static str,
    pub(super) four_cases: [&'static str; 4],
}

/// pySim (osmocom.org, tests/unittests/test_globalplatform.py), with an eUICC that is asked for its EID.
pub(super) const SCP03: [Published; 9] = [
    Published {
        key_bytes: 16,
        level: 0x11,
        host_challenge: "b13e5f938fc108c4",
        initialize_update: "000000000000000000003003703eb51047495b249f66c484c1d2ef1948000002",
        external_authenticate: "84821100107d5f5826a993ebc89eea24957fa0b3ce",
        get_eid: "84e291000ebf3e035c015a558d036518a2829700",
        get_eid_answer: "bf3e125a1089882119900000000000000000000005971be68992dbbdfa",
        four_cases: [
            "84f220020863a63f8959827fb2",
            "84ca006608a0c6a4a74166f7ce00",
            "84f22002124f0212345c054f9f70c52249b50272656536",
            "84f280020a4f00e91443f6dce6b8ed00",
        ],
    },
    Published {
        key_bytes: 16,
        level: 0x03,
        host_challenge: "8e1552d0513c60f3",
        initialize_update: "0000000000000000000030037030760cd2c47c1dd395065fe5ead8a9d7000001",
        external_authenticate: "8482030010fd4721a14d9b07003c451d2f8ae6bb21",
        get_eid: "84e2910018ca9c00f6713d79bc8baa642bdff51c3f6a4082d3bd9ad26c00",
        get_eid_answer: "bf3e125a1089882119900000000000000000000005",
        four_cases: [
            "84f2200208c9811b11f1264cf1",
            "84ca006608e10ab60b3054798800",
            "84f22002184e2908bdb48b2315a55482e9e936ca122d6ecfae7d17416e",
            "84f28002180dd10a6b6193e5340b9e77d32d5a179cd710ac2773aefb2800",
        ],
    },
    Published {
        key_bytes: 16,
        level: 0x33,
        host_challenge: "fdf38259a1e0de44",
        initialize_update: "000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003",
        external_authenticate: "84823300108c36f96bcc00724a4e13ad591d7da3f0",
        get_eid: "84e2910018267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f00",
        get_eid_answer: "f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b9",
        four_cases: [
            "84f2200208ac6a59024bed84cc",
            "84ca006608409912ad8fb7aed000",
            "84f22002185f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a",
            "84f280021865165105be3373347d0424d4400af2ac393f569ec779389e00",
        ],
    },
    Published {
        key_bytes: 24,
        level: 0x11,
        host_challenge: "7396430b768b085b",
        initialize_update: "000000000000000000003103708cfc23522ffdbf1e5df5542cac8fd866000003",
        external_authenticate: "84821100102145ed30b146f5db252fb7e624cec244",
        get_eid: "84e291000ebf3e035c015aff42cf801d14394400",
        get_eid_answer: "bf3e125a1089882119900000000000000000000005162fbd33e04940a9",
        four_cases: [
            "84f22002084584e4f6784811ee",
            "84ca006608937776ebe190fa3000",
            "84f22002124f0212345c054f9f70c59a52bddf3040368c",
            "84f280020a4f009804b11411f7393d00",
        ],
    },
    Published {
        key_bytes: 24,
        level: 0x03,
        host_challenge: "69c65da8202bf19f",
        initialize_update: "00000000000000000000310370b570a67be38446717729d6dd3d2ec5b1000001",
        external_authenticate: "848203001065df4f1a356a887905466516d9e5b7c1",
        get_eid: "84e2910018d2c6fb477c5d4afe4fd4d21f17eff10d3578ec1774a12a2d00",
        get_eid_answer: "bf3e125a1089882119900000000000000000000005",
        four_cases: [
            "84f2200208964e188f0b1bb697",
            "84ca006608f0820035a41d3e1800",
            "84f220021806b076ed452cd1fa84f77f5c08a146aa77a9286757dea791",
            "84f2800218d06527e39222dce091fabdb8e9b898417a67a6852d3577db00",
        ],
    },
    Published {
        key_bytes: 24,
        level: 0x33,
        host_challenge: "9b3f2eef0e8c9374",
        initialize_update: "00000000000000000000310370f6bb305a15bae1a68f79fb08212fbed7000002",
        external_authenticate: "84823300109100bc22d58b45b86a26365ce39ff3cf",
        get_eid: "84e29100188f7f946c84f70d17994bc6e8791251bb1bb1bf02cf8de58900",
        get_eid_answer: "c05176c1b6f72aae50c32cbee63b0e95998928fd4dfb2be9f27ffde8c8476f5909b4805cc4039599",
        four_cases: [
            "84f2200208d5d97754b6b3d2ba",
            "84ca006608516c82b8e30adbeb00",
            "84f2200218cc247f4761e6944277a4e0d6e32e44025b1e31537e2fc668",
            "84f2800218ba22b63d509bef5d093b43e5eaed03ed23144ab2d9cb51de00",
        ],
    },
    Published {
        key_bytes: 32,
        level: 0x11,
        host_challenge: "11666d57866c6f54",
        initialize_update: "0000000000000000000032037053ea8847efa7674e41498a4d66cf0dee000003",
        external_authenticate: "84821100102f2ad190eff2fafc4908996d1cebd310",
        get_eid: "84e291000ebf3e035c015af4b680372542b59d00",
        get_eid_answer: "bf3e125a10898821199000000000000000000000058012dd7f01f1c4c1",
        four_cases: [
            "84f2200208d618b7da68d5fe52",
            "84ca0066088f3e055db23ad5e500",
            "84f22002124f0212345c054f9f70c5b6e15cc42404915e",
            "84f280020a4f00aa124aa74afe7f7500",
        ],
    },
    Published {
        key_bytes: 32,
        level: 0x03,
        host_challenge: "c6066990fc426e1d",
        initialize_update: "000000000000000000003203708682cd81bbd8919f2de3f2664581f118000001",
        external_authenticate: "848203001077c493b632edadaf865a1e64acc07ce9",
        get_eid: "84e29100183ddaa60594963befaada3525b492ede23c2ab2c1ce3afe4400",
        get_eid_answer: "bf3e125a1089882119900000000000000000000005",
        four_cases: [
            "84f2200208480ddc8e419da38d",
            "84ca0066083e9d6a6c0b2d732000",
            "84f22002183ebfef2da8b04af2a85f491f299b76973df76ff08a4031be",
            "84f2800218783fff80990f5585b1055010ea95094a26e4a8f1ef4b18e100",
        ],
    },
    Published {
        key_bytes: 32,
        level: 0x33,
        host_challenge: "97b2055fe58599fd",
        initialize_update: "00000000000000000000320370a8439a22cedf045fa9f1903b2834f26e000002",
        external_authenticate: "8482330010508a0fd959d2e547c6b33154a6be2057",
        get_eid: "84e29100187a5ef717eaf1e135ae92fe54429d0e465decda65f5fe5aea00",
        get_eid_answer: "ea90dbfa648a67c5eb6abc57f8530b97d0cd5647c5e8732016b55203b078dd2ace7f8bc5d1c1cd99",
        four_cases: [
            "84f2200208bcc5c17275545d93",
            "84ca00660804806aba9d543bb600",
            "84f2200218717222491556ec81a45f49ce48be33320024801a1c4cb0e0",
            "84f2800218561f105bccd3a1642904b251ccc1228beb80a82370a8637000",
        ],
    },
];

/// GPShell with a Nokia phone's card, SCP02 i=55, all commands encrypted (globalplatform-users, 2009-09-30).
pub(super) const GPSHELL_55: &str = "> 80502A0008C453FA25E528127200
< 000073204CC7A85453292A02001C389736801E91531A9CC29523CDA99000
> 848203001011B0FCFA2F4C342CE32AE87469F2C20A
< 9000
> 84F2200010DD0DA4CBDB95ABD873FB51E99ED8D1F900
< 07A000000003535001000CD276000005AA04036001041001000BD276000005AA0503E0040101000BD276000005AA0503E005010100 9000
> 84E400801866B6144AC33B8B09F5407AE3AF46FD5D47CED38D3D75296C00
< 6A88";
