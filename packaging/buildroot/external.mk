include $(sort $(wildcard $(BR2_EXTERNAL_STINT_PATH)/package/*/*.mk))
