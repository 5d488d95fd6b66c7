use super::*;

/// The inputs and heads of the public certificate-transparency test suite.
fn known() -> (Vec<Digest>, Vec<&'static str>) {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let heads = vec![
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    (inputs.iter().map(|input| leaf_hash(input)).collect(), heads)
}

#[test]
fn heads_are_those_of_the_certificate_transparency_suite() {
    let (leaves, heads) = known();
    assert_eq!(root(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size, head) in heads.iter().enumerate() {
        assert_eq!(root(&leaves[..=size]).to_string(), *head, "size {}", size + 1);
    }
}

#[test]
fn proofs_are_those_of_the_certificate_transparency_suite() {
    let (leaves, _) = known();
    let text = |proof: Option<Vec<Digest>>| {
        proof.unwrap().iter().map(|digest| digest.to_string()[..8].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(text(inclusion_proof(&leaves, 0)), ["96a296d2", "5f083f0a", "6b47aaf2"]);
    assert_eq!(text(inclusion_proof(&leaves, 5)), ["bc1a0643", "ca854ea1", "d37ee418"]);
    assert_eq!(text(inclusion_proof(&leaves[..5], 1)), ["6e340b9c", "5f083f0a", "bc1a0643"]);
    assert_eq!(text(consistency_proof(&leaves, 1)), ["96a296d2", "5f083f0a", "6b47aaf2"]);
    assert_eq!(text(consistency_proof(&leaves, 6)), ["0ebc5d34", "ca854ea1", "d37ee418"]);
    assert_eq!(text(consistency_proof(&leaves[..5], 2)), ["5f083f0a", "bc1a0643"]);
}

fn leaves(count: u8) -> Vec<Digest> {
    (0..count).map(|number| leaf_hash(&[number])).collect()
}

#[test]
fn every_leaf_of_every_small_tree_is_proven_and_no_other_place_is() {
    let all = leaves(33);
    for size in 1..=all.len() {
        let head = root(&all[..size]);
        for index in 0..size {
            let proof = inclusion_proof(&all[..size], index).unwrap();
            let check = |leaf, index: usize, size: usize, proof: &[Digest]| {
                verify_inclusion(leaf, index as u64, size as u64, proof, head)
            };
            assert_eq!(check(all[index], index, size, &proof), Ok(()));
            assert!(check(leaf_hash(b"forged"), index, size, &proof).is_err());
            assert!(check(all[index], (index + 1) % size.max(2), size, &proof).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(check(all[index], index, size, shorter).is_err());
            }
            assert!(check(all[index], index, size, &[proof.clone(), vec![head]].concat()).is_err());
        }
    }
}

#[test]
fn every_prefix_of_every_small_tree_is_proven_and_no_rewritten_one_is() {
    let all = leaves(33);
    for size in 1..=all.len() {
        for old in 1..=size {
            let (old_head, head) = (root(&all[..old]), root(&all[..size]));
            let proof = consistency_proof(&all[..size], old).unwrap();
            let check =
                |old_head, head, proof: &[Digest]| verify_consistency(old as u64, old_head, size as u64, head, proof);
            assert_eq!(check(old_head, head, &proof), Ok(()));
            assert!(check(leaf_hash(b"forged"), head, &proof).is_err());
            assert!(check(old_head, leaf_hash(b"forged"), &proof).is_err());
            assert!(check(old_head, head, &[proof.clone(), vec![head]].concat()).is_err());
            for index in 0..proof.len() {
                let mut forged = proof.clone();
                forged[index] = leaf_hash(b"forged");
                assert!(check(old_head, head, &forged).is_err());
            }
        }
    }
}

#[test]
fn an_entry_has_one_spelling_and_its_body_can_be_withheld() {
    let entry = Entry {
        sequence: 7,
        wall: UtcTime::from_unix(1_795_311_555),
        clock: ClockQuality::Untrusted,
        kind: 3,
        body: body_digest(&[9; SALT_LEN], b"body"),
    };
    let bytes = entry.to_bytes();
    assert_eq!(Entry::from_bytes(&bytes), Some(entry));
    assert_ne!(body_digest(&[8; SALT_LEN], b"body"), entry.body);
    for at in [18, 19, 20, 23] {
        let mut other = bytes;
        other[at] = 9;
        assert_eq!(Entry::from_bytes(&other), None, "byte {at}");
    }
}
