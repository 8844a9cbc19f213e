-- Lines that come once more, because their answer was lost, are found by their number.
CREATE INDEX audit_record_number ON audit_record (node_id, number);
